package mailer

// Validate checks the message.
func (m Message) Validate() error { return nil }
