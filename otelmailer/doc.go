// Package otelmailer traces and measures a [mailer.Sender] with OpenTelemetry. It
// is a module of its own, so that OpenTelemetry is a dependency of those who ask
// for it.
//
//	sender := otelmailer.Wrap(chain, otelmailer.Config{})
//
// The names are those of OpenTelemetry's semantic conventions for messaging
// (https://opentelemetry.io/docs/specs/semconv/messaging/, read 2026-11; status:
// development), with the service as the messaging system.
//
// For HTTP spans below these, give the adapters an http.Client with an
// instrumented transport.
package otelmailer
