package smtp_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp"
)

func Example() {
	// A server as on a developer's machine, in clear and without a login.
	server := &server{mechanisms: []string{}}
	srv := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		return &serverSession{server: server, conn: c}, nil
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = srv.Serve(l); close(done) }()
	defer func() { _ = srv.Close(); <-done }()

	// The URL usually comes from SMTP_URL. For a real server it is such as
	// smtps://user:password@mail.example.com.
	config, err := smtp.Parse("smtp+insecure://" + l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	p, err := smtp.New(config)
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	receipt, err := p.Send(context.Background(), mailer.Message{
		ID:      "welcome-8841",
		From:    mailer.Address{Name: "Harbour Books", Address: "hello@books.example"},
		To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Subject: "Welcome",
		Text:    "Hello Ada\n",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Provider, receipt.MessageID)
	got := server.got()[0]
	fmt.Println(got.from, got.to)
	// Output:
	// smtp welcome-8841
	// hello@books.example [ada@example.com]
}

func ExampleParse() {
	c, err := smtp.Parse("smtps://app%40example.com:p%40ss@mail.example.com")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Username, c.Password == "p@ss", c.TLS == smtp.Implicit)
	// Output: app@example.com true true
}

func ExamplePostmark() {
	c := smtp.Postmark("server-token")
	c.MaxConns = 5
	p, err := smtp.New(c)
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	fmt.Println(c.Host, p)
	// Output: smtp.postmarkapp.com smtp
}

func ExampleNew() {
	config, err := smtp.Parse(os.Getenv("SMTP_URL")) // smtps://user:password@mail.example.com
	if err != nil {
		log.Fatal(err)
	}
	p, err := smtp.New(config)
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	fmt.Println(p)
}
