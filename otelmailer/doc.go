// Package otelmailer traces and measures a Sender with OpenTelemetry. It is a
// module of its own, so that OpenTelemetry is a dependency of those who ask for it.
package otelmailer
