package io.github.tokenpin.spring;

import org.springframework.cloud.gateway.filter.GatewayFilter;
import org.springframework.cloud.gateway.filter.NettyWriteResponseFilter;
import org.springframework.cloud.gateway.filter.OrderedGatewayFilter;
import org.springframework.cloud.gateway.filter.factory.AbstractGatewayFilterFactory;

/** The filter {@code Tokenpin} of a route whose upstream is the provider of the accounts. */
public final class TokenpinGatewayFilterFactory extends AbstractGatewayFilterFactory<Object> {
  /** Around what writes the response. */
  private static final int ORDER = NettyWriteResponseFilter.WRITE_RESPONSE_FILTER_ORDER - 1;

  private final Accounts accounts;

  TokenpinGatewayFilterFactory(Accounts accounts) {
    super(Object.class);
    this.accounts = accounts;
  }

  @Override
  public GatewayFilter apply(Object config) {
    return new OrderedGatewayFilter(new PinFilter(accounts), ORDER);
  }
}
