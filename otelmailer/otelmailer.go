package otelmailer

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/middleware"
)

// Scope is the instrumentation scope of spans and metrics.
const Scope = "github.com/seed355143d4/mailer/otelmailer"

// Config says where spans and metrics go. The zero value uses the global
// providers.
type Config struct {
	// TracerProvider makes the spans. Nil: otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// MeterProvider makes the metrics. Nil: otel.GetMeterProvider().
	MeterProvider metric.MeterProvider
}

// Wrap traces and measures what goes through s. What s can do besides sending
// stays reachable, as package middleware describes. It is safe for use by many
// goroutines if s is. It panics if s is nil.
//
// A Send is one span "send" of kind client, a SendBatch one span for all its
// messages. A span carries messaging.system (the service that took the message, or that
// failed), messaging.operation.name and .type, messaging.message.id (the service's),
// mailer.message.id (ours), messaging.batch.message_count for a batch, error.type
// (the [mailer.Kind] with underscores) and, after a failure, mailer.not_sent. Every
// attempt of a failover for a single message is an event "attempt" of the span, at
// the time when the attempt ended.
//
// The metrics are messaging.client.operation.duration (histogram, seconds) for
// every call, and messaging.client.sent.messages (counter) for every message. Both
// carry messaging.system, messaging.operation.name and, after a failure,
// error.type.
//
// No address, subject, body or word of a service is in any of them.
func Wrap(s mailer.Sender, cfg Config) mailer.Sender {
	if s == nil {
		panic("otelmailer: the Sender is nil")
	}
	if cfg.TracerProvider == nil {
		cfg.TracerProvider = otel.GetTracerProvider()
	}
	if cfg.MeterProvider == nil {
		cfg.MeterProvider = otel.GetMeterProvider()
	}
	t := &telemetry{tracer: cfg.TracerProvider.Tracer(Scope), sender: s}
	if p, ok := mailer.As[mailer.Provider](s); ok {
		t.system = p.Name()
	}
	meter := cfg.MeterProvider.Meter(Scope)
	// The two errors are about names and units, which are constant here; the
	// instruments are usable even then.
	t.duration, _ = meter.Float64Histogram("messaging.client.operation.duration",
		metric.WithUnit("s"),
		metric.WithDescription("Duration of messaging operation initiated by a producer or consumer client."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
	t.messages, _ = meter.Int64Counter("messaging.client.sent.messages",
		metric.WithUnit("{message}"),
		metric.WithDescription("Number of messages producer attempted to send to the broker."))
	return middleware.Wrap(s, t.send, t.sendBatch)
}

type telemetry struct {
	sender   mailer.Sender
	system   string // the service's name, if there is one service
	tracer   trace.Tracer
	duration metric.Float64Histogram
	messages metric.Int64Counter
}

var (
	operation     = attribute.String("messaging.operation.name", "send")
	operationType = attribute.String("messaging.operation.type", "send")
)

func (t *telemetry) send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	if m.ID == "" {
		m.ID = mailer.NewID()
	}
	ctx, span := t.tracer.Start(ctx, "send", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	start := time.Now()
	receipt, err := t.sender.Send(ctx, m)
	took := time.Since(start)

	outcome := t.outcome(receipt, err)
	t.duration.Record(ctx, took.Seconds(), metric.WithAttributeSet(outcome))
	t.messages.Add(ctx, 1, metric.WithAttributeSet(outcome))
	if !span.IsRecording() {
		return receipt, err
	}
	span.SetAttributes(outcome.ToSlice()...)
	span.SetAttributes(operationType)
	if plain(m.ID) {
		span.SetAttributes(attribute.String("mailer.message.id", m.ID))
	}
	if err != nil {
		span.SetAttributes(attribute.Bool("mailer.not_sent", mailer.NotSent(err)))
		span.SetStatus(codes.Error, mailer.KindOf(err).String())
	} else {
		span.SetAttributes(attribute.String("messaging.message.id", receipt.MessageID))
	}
	attempts := receipt.Attempts
	if failed, ok := errors.AsType[*failover.AttemptsError](err); ok {
		attempts = failed.Attempts
	}
	for _, a := range attempts {
		span.AddEvent("attempt", trace.WithTimestamp(a.Start.Add(a.Duration)), trace.WithAttributes(attempt(a)...))
	}
	return receipt, err
}

func (t *telemetry) sendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	if len(ms) == 0 {
		return nil
	}
	ctx, span := t.tracer.Start(ctx, "send", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	start := time.Now()
	results := mailer.SendAll(ctx, t.sender, ms)
	took := time.Since(start)

	// The call is as bad as its first failure.
	var first attribute.Set
	counts := map[attribute.Distinct]int64{}
	sets := map[attribute.Distinct]attribute.Set{}
	failed := 0
	for i, r := range results {
		outcome := t.outcome(r.Receipt, r.Err)
		key := outcome.Equivalent()
		counts[key]++
		sets[key] = outcome
		if r.Err != nil {
			failed++
		}
		if i == 0 || r.Err != nil && failed == 1 {
			first = outcome
		}
	}
	for key, n := range counts {
		t.messages.Add(ctx, n, metric.WithAttributeSet(sets[key]))
	}
	t.duration.Record(ctx, took.Seconds(), metric.WithAttributeSet(first))
	if span.IsRecording() {
		span.SetAttributes(first.ToSlice()...)
		span.SetAttributes(operationType,
			attribute.Int("messaging.batch.message_count", len(ms)),
			attribute.Int("mailer.batch.failed_count", failed))
		if failed > 0 {
			span.SetStatus(codes.Error, "some messages were not taken")
		}
	}
	return results
}

// outcome are the attributes that spans and metrics share. They take few values.
func (t *telemetry) outcome(receipt mailer.Receipt, err error) attribute.Set {
	system := receipt.Provider
	if system == "" {
		system = t.system
	}
	if err == nil {
		return attribute.NewSet(operation, attribute.String("messaging.system", orMailer(system)))
	}
	if e, ok := errors.AsType[*mailer.Error](err); ok && e != nil && e.Provider != "" {
		system = e.Provider
	}
	return attribute.NewSet(operation, attribute.String("messaging.system", orMailer(system)), errorType(err))
}

// plain tells whether id has the form of an ID. One that is refused may hold anything.
func plain(id string) bool {
	return len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// orMailer names a Sender that has no name.
func orMailer(system string) string {
	if system == "" {
		return "mailer"
	}
	return system
}

func errorType(err error) attribute.KeyValue {
	return attribute.String("error.type", strings.ReplaceAll(mailer.KindOf(err).String(), " ", "_"))
}

func attempt(a mailer.Attempt) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("messaging.system", a.Provider),
		attribute.Float64("mailer.attempt.duration", a.Duration.Seconds()),
	}
	if a.PossibleDuplicate {
		attrs = append(attrs, attribute.Bool("mailer.attempt.possible_duplicate", true))
	}
	if a.Err == nil {
		return attrs
	}
	attrs = append(attrs, errorType(a.Err), attribute.Bool("mailer.not_sent", mailer.NotSent(a.Err)))
	if e, ok := errors.AsType[*mailer.Error](a.Err); ok && e != nil && e.Status != 0 {
		attrs = append(attrs, attribute.Int("mailer.attempt.status", e.Status))
	}
	return attrs
}
