package main

func Example() {
	main()
	// Output:
	// postmark fills in welcome-2026: Ada and 3 books
	// postmark took it
	//
	// Postmark asks to slow down.
	// sendgrid fills in d-5c9f7a1e0b3d4c6f8a2e1d0c9b8a7f6e: Ada and 3 books
	// postmark did not take it: rate limited
	// sendgrid took it
}
