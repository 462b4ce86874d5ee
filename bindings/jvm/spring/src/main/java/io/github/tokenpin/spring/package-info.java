/** Pins sessions to the accounts of a provider, in Spring Cloud Gateway. */
@NullMarked
package io.github.tokenpin.spring;

import org.jspecify.annotations.NullMarked;
