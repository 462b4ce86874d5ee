package io.github.tokenpin;

/**
 * The classification of a request by its method and target.
 *
 * @param existing whether it names state that exists
 * @param ids which ids of it and of its response are looked at
 */
public record Classification(Group group, boolean existing, Ids ids) {}
