package main

func Example() {
	main()
	// Output:
	// reader007@example.com has no mail: recipient refused
	// reader123 has no mail: invalid message
	// 498 mails were taken; calls: 1
}
