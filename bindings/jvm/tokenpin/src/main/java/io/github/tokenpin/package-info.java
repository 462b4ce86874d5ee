/**
 * Which account of an AI provider serves a request: the same on every replica and without shared
 * storage, with the signed cookie and the sealed ids that remember it.
 *
 * <p>{@link io.github.tokenpin.Affinity} is the way in; {@link io.github.tokenpin.Tokenpin} has
 * single steps.
 *
 * <p>A {@code String} that is given stands for its UTF-8; where there is a choice, {@code byte[]}
 * is taken as it is. Nothing has changed when anything is thrown.
 */
@NullMarked
package io.github.tokenpin;

import org.jspecify.annotations.NullMarked;
