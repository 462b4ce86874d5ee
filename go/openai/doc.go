// Package openai sends OpenAI's own client through the middleware, without a cookie. It is its own
// module, so that users of the Go module do not get that client.
package openai
