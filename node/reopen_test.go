package node_test

import (
	"net/netip"
	"sync"
	"testing"

	"tandem/media"
	"tandem/node"
)

// BenchmarkReopen takes over the media of 1,000 calls on system sockets, as the
// heir of a node does, in as many goroutines as call control has on two cores.
func BenchmarkReopen(b *testing.B) {
	const calls, workers = 1000, 2
	ip := netip.MustParseAddr("127.0.0.77")
	for b.Loop() {
		relay, err := media.New(media.Config{IP: ip, Listen: node.SystemNetwork{}.ListenPacket, Open: node.SystemNetwork{}.Open, Ports: media.PortRange{First: 20000, Last: 39999}})
		if err != nil {
			b.Fatal(err)
		}
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for i := w; i < calls; i += workers {
					port := uint16(20000 + 8*i)
					if _, err := relay.Reopen(media.SessionConfig{}, media.State{Port: [2]uint16{port, port + 4}}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		all.Wait()
		b.StopTimer()
		if err := relay.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
