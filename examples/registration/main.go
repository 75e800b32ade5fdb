// Command registration is a small sign-up application: a form, a mail with a
// link, and a page behind the link. It shows what mailer is for: the mail
// arrives although the first service is down.
//
//	go run ./examples/registration
//
// and open http://127.0.0.1:8080/. With nothing in the environment it runs on
// two embedded services that speak Postmark's and SendGrid's APIs, whose bad days
// are at the push of a button, and shows the mail at /inbox/. With the keys of
// real services in the environment it uses those instead, and MAIL_FROM names a
// sender that is verified there. They are tried in this order:
//
//	POSTMARK_SERVER_TOKEN
//	SES_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN)
//	SENDGRID_API_KEY
//	SOCKETLABS_API_KEY, SOCKETLABS_SERVER_ID
//	MAILJET_API_KEY, MAILJET_SECRET_KEY
//	ELASTICEMAIL_API_KEY
//	SMTP2GO_API_KEY
//	SMTP_URL (smtps://user:password@mail.example.com)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/mail"
	"os"
	"os/signal"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	base := flag.String("url", "", "the application's public `URL`, for the links in mails (default: http:// and the address)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, *base); err != nil {
		log.Fatal(err)
	}
}

// run serves the application until ctx ends.
func run(ctx context.Context, addr, base string) error {
	from, err := mail.ParseAddress(env("MAIL_FROM", "Harbour Books <hello@harbourbooks.example>"))
	if err != nil {
		return fmt.Errorf("MAIL_FROM: %w", err)
	}
	post, err := newPost(os.LookupEnv)
	if err != nil {
		return err
	}
	defer post.Close()

	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (choose another address with -addr)", err)
	}
	if base == "" {
		base = "http://" + l.Addr().String()
	}
	srv := &http.Server{
		Handler:           newApp(post, *from, base),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the inbox's live streams
	}
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		srv.Shutdown(end)
	}()
	fmt.Printf("Sign up at %s/ with any address. Stop with Ctrl-C.\n", base)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func env(name, otherwise string) string {
	if v, ok := os.LookupEnv(name); ok && v != "" {
		return v
	}
	return otherwise
}
