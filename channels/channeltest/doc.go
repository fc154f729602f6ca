// Package channeltest is the contract of package channels as tests. A channel's
// own tests run it against the channel's real counterpart:
//
//	func TestMain(m *testing.M) { channeltest.Main(m, newChannel) }
//
//	func TestConformance(t *testing.T) {
//		channeltest.Run(t, channeltest.Harness{Kind: "amqp", Ordered: true, Open: openQueue})
//	}
//
// Each channel under test is a process of its own, the test binary itself, on a
// NATS server that is another one: both are really killed. What is found in the
// stream of rings is compared with what was sent.
package channeltest
