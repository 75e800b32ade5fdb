// Package bench compares mailer with other ways to send the same mail. It holds
// tests and benchmarks only, in a module of its own, so that what it compares
// with is nobody else's dependency. README.md says how to run it.
package bench
