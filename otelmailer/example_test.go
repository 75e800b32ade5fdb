package otelmailer_test

import (
	"context"
	"fmt"
	"log"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed355143d4/mailer/mailertest"
	"github.com/seed355143d4/mailer/otelmailer"
)

func Example() {
	spans := tracetest.NewSpanRecorder() // an exporter, in a real program
	sender := otelmailer.Wrap(new(mailertest.Recorder), otelmailer.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	})

	if _, err := sender.Send(context.Background(), message("welcome-1")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(spans.Ended()[0].Name(), spans.Ended()[0].Attributes()[1].Value.String())
	// Output: send mailertest
}
