package otelmailer_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/otelmailer"
)

// service is a Sender that answers by the message's ID.
type service struct {
	name string
	errs map[string]error
	span trace.SpanContext
}

func (s *service) Name() string { return s.name }

func (s *service) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	s.span = trace.SpanContextFromContext(ctx)
	if err := s.errs[m.ID]; err != nil {
		return mailer.Receipt{ID: m.ID}, err
	}
	return mailer.Receipt{ID: m.ID, Provider: s.name, MessageID: "their-" + m.ID}, nil
}

type batchService struct{ service }

func (s *batchService) MaxBatch() int { return 100 }

func (s *batchService) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	results := make([]mailer.Result, len(ms))
	for i, m := range ms {
		results[i].Receipt, results[i].Err = s.Send(ctx, m)
	}
	return results
}

func message(id string) mailer.Message {
	return mailer.Message{ID: id, From: mailer.Address{Address: "app@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}}, Subject: "Hello", Text: "Hello"}
}

// observed is a Config whose spans and metrics can be read.
type observed struct {
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	otelmailer.Config
}

func observe() *observed {
	o := &observed{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	o.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(o.spans))
	o.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader))
	return o
}

func (o *observed) span(t *testing.T) sdktrace.ReadOnlySpan {
	t.Helper()
	ended := o.spans.Ended()
	require.Len(t, ended, 1)
	return ended[0]
}

// metrics returns what was counted and how many durations were recorded, by
// attributes.
func (o *observed) metrics(t *testing.T) (messages map[string]int64, calls map[string]uint64) {
	t.Helper()
	messages, calls = map[string]int64{}, map[string]uint64{}
	var all metricdata.ResourceMetrics
	require.NoError(t, o.reader.Collect(t.Context(), &all))
	for _, scope := range all.ScopeMetrics {
		require.Equal(t, otelmailer.Scope, scope.Scope.Name)
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				require.Equal(t, "messaging.client.sent.messages", m.Name)
				require.Equal(t, "{message}", m.Unit)
				for _, p := range data.DataPoints {
					messages[words(p.Attributes.ToSlice())] += p.Value
				}
			case metricdata.Histogram[float64]:
				require.Equal(t, "messaging.client.operation.duration", m.Name)
				require.Equal(t, "s", m.Unit)
				for _, p := range data.DataPoints {
					calls[words(p.Attributes.ToSlice())] += p.Count
				}
			}
		}
	}
	return messages, calls
}

// words are attributes in one line, without what differs from run to run.
func words(attrs []attribute.KeyValue) string {
	slices.SortFunc(attrs, func(a, b attribute.KeyValue) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	line := ""
	for _, a := range attrs {
		if a.Key != "mailer.attempt.duration" {
			line += fmt.Sprintf("%s=%s ", a.Key, a.Value.String())
		}
	}
	return line
}

func TestASendThatWasTaken(t *testing.T) {
	o := observe()
	s := &service{name: "postmark"}
	receipt, err := otelmailer.Wrap(s, o.Config).Send(t.Context(), message("a"))
	require.NoError(t, err)
	require.Equal(t, "their-a", receipt.MessageID)

	span := o.span(t)
	require.Equal(t, "send", span.Name())
	require.Equal(t, trace.SpanKindClient, span.SpanKind())
	require.Equal(t, span.SpanContext().SpanID(), s.span.SpanID(), "the service sees the span")
	require.Equal(t, codes.Unset, span.Status().Code)
	require.Equal(t, "mailer.message.id=a messaging.message.id=their-a messaging.operation.name=send messaging.operation.type=send messaging.system=postmark ", words(span.Attributes()))
	require.Empty(t, span.Events())
	messages, calls := o.metrics(t)
	require.Equal(t, map[string]int64{"messaging.operation.name=send messaging.system=postmark ": 1}, messages)
	require.Equal(t, map[string]uint64{"messaging.operation.name=send messaging.system=postmark ": 1}, calls)
}

func TestASendThatFailed(t *testing.T) {
	for _, c := range []struct {
		name, attrs string
		err         error
	}{
		{
			"as a service says", "error.type=rate_limited mailer.message.id=a mailer.not_sent=true messaging.operation.name=send messaging.operation.type=send messaging.system=postmark ",
			&mailer.Error{Provider: "postmark", Kind: mailer.KindRateLimited, NotSent: true, Message: "ada@example.com"},
		},
		{
			"without an answer", "error.type=network_failure mailer.message.id=a mailer.not_sent=false messaging.operation.name=send messaging.operation.type=send messaging.system=postmark ",
			context.DeadlineExceeded,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := observe()
			_, err := otelmailer.Wrap(&service{name: "postmark", errs: map[string]error{"a": c.err}}, o.Config).Send(t.Context(), message("a"))
			require.Equal(t, c.err, err)
			span := o.span(t)
			require.Equal(t, c.attrs, words(span.Attributes()))
			require.Equal(t, codes.Error, span.Status().Code)
			require.NotContains(t, span.Status().Description, "ada@")
			messages, _ := o.metrics(t)
			require.Len(t, messages, 1)
			for line := range messages {
				require.Contains(t, line, "error.type=")
			}
		})
	}
	t.Run("with an ID that is an address", func(t *testing.T) {
		o := observe()
		_, err := otelmailer.Wrap(&service{errs: map[string]error{"ada@example.com": mailer.KindInvalid}}, o.Config).Send(t.Context(), message("ada@example.com"))
		require.Error(t, err)
		require.Equal(t, "error.type=invalid_message mailer.not_sent=false messaging.operation.name=send messaging.operation.type=send messaging.system=mailer ", words(o.span(t).Attributes()))
	})
}

func TestAnIDIsAssigned(t *testing.T) {
	o := observe()
	receipt, err := otelmailer.Wrap(&service{name: "ses"}, o.Config).Send(t.Context(), message(""))
	require.NoError(t, err)
	require.NotEmpty(t, receipt.ID)
	require.Contains(t, words(o.span(t).Attributes()), "mailer.message.id="+receipt.ID)
}

func TestEveryAttemptOfAFailoverIsAnEvent(t *testing.T) {
	down := &mailer.Error{Provider: "postmark", Kind: mailer.KindUnavailable, NotSent: true, Status: 503}
	full := &mailer.Error{Provider: "ses", Kind: mailer.KindQuota, NotSent: true}
	for _, c := range []struct {
		name   string
		second error
		last   string
		system string
	}{
		{"taken in the end", nil, "messaging.system=ses ", "messaging.system=ses "},
		{"refused everywhere", full, "error.type=quota_used_up mailer.not_sent=true messaging.system=ses ", "messaging.system=failover "},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := observe()
			chain, err := failover.New(failover.Config{Logger: slog.New(slog.DiscardHandler)},
				&service{name: "postmark", errs: map[string]error{"a": down}},
				&service{name: "ses", errs: map[string]error{"a": c.second}})
			require.NoError(t, err)
			_, _ = otelmailer.Wrap(chain, o.Config).Send(t.Context(), message("a"))
			span := o.span(t)
			require.Contains(t, words(span.Attributes()), c.system)
			events := span.Events()
			require.Len(t, events, 2)
			require.Equal(t, "attempt", events[0].Name)
			require.Equal(t, "error.type=service_unavailable mailer.attempt.status=503 mailer.not_sent=true messaging.system=postmark ", words(events[0].Attributes))
			require.Equal(t, c.last, words(events[1].Attributes))
			require.False(t, events[0].Time.After(events[1].Time))
		})
	}
}

func TestABatchIsOneSpanAndCountsEveryMessage(t *testing.T) {
	o := observe()
	s := &batchService{service{name: "mailjet", errs: map[string]error{"b": &mailer.Error{Provider: "mailjet", Kind: mailer.KindRejected, NotSent: true}}}}
	w := otelmailer.Wrap(s, o.Config)
	_, ok := w.(mailer.BatchSender)
	require.True(t, ok)
	results := mailer.SendAll(t.Context(), w, []mailer.Message{message("a"), message("b"), message("c")})
	require.Len(t, results, 3)
	require.ErrorIs(t, results[1].Err, mailer.KindRejected)

	span := o.span(t)
	require.Equal(t, "error.type=message_rejected mailer.batch.failed_count=1 messaging.batch.message_count=3 messaging.operation.name=send messaging.operation.type=send messaging.system=mailjet ", words(span.Attributes()))
	require.Equal(t, codes.Error, span.Status().Code)
	messages, calls := o.metrics(t)
	require.Equal(t, map[string]int64{
		"messaging.operation.name=send messaging.system=mailjet ":                             2,
		"error.type=message_rejected messaging.operation.name=send messaging.system=mailjet ": 1,
	}, messages)
	require.Equal(t, map[string]uint64{"error.type=message_rejected messaging.operation.name=send messaging.system=mailjet ": 1}, calls)

	require.Empty(t, mailer.SendAll(t.Context(), w, nil))
	require.Len(t, o.spans.Ended(), 1, "nothing to send is nothing to trace")
}

func TestPowersStayReachable(t *testing.T) {
	w := otelmailer.Wrap(&service{name: "ses"}, otelmailer.Config{})
	_, ok := w.(mailer.BatchSender)
	require.False(t, ok)
	p, ok := mailer.As[mailer.Provider](w)
	require.True(t, ok)
	require.Equal(t, "ses", p.Name())
	require.Panics(t, func() { otelmailer.Wrap(nil, otelmailer.Config{}) })
}

// What it costs: without an SDK, with spans that are not recorded, and with a
// recorder.
func BenchmarkSend(b *testing.B) {
	s := mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{ID: m.ID, Provider: "ses", MessageID: "their"}, nil
	})
	measured := otelmailer.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))}
	traced := measured
	traced.TracerProvider = sdktrace.NewTracerProvider()
	for name, sender := range map[string]mailer.Sender{
		"bare":    s,
		"no SDK":  otelmailer.Wrap(s, otelmailer.Config{}),
		"metrics": otelmailer.Wrap(s, measured),
		"traced":  otelmailer.Wrap(s, traced),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			m := message("a")
			for b.Loop() {
				_, _ = sender.Send(context.Background(), m)
			}
		})
	}
}
