package io.github.tokenpin.spring;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;

/** Provides the filter {@code Tokenpin} if the properties {@code tokenpin.*} are set. */
@AutoConfiguration
@ConditionalOnProperty("tokenpin.placement-key")
@EnableConfigurationProperties(TokenpinProperties.class)
public class TokenpinAutoConfiguration {
  @Bean
  @ConditionalOnMissingBean
  Accounts tokenpinAccounts(TokenpinProperties properties) {
    return new Accounts(properties);
  }

  @Bean
  TokenpinGatewayFilterFactory tokenpinGatewayFilterFactory(Accounts accounts) {
    return new TokenpinGatewayFilterFactory(accounts);
  }
}
