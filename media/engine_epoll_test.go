//go:build linux && (amd64 || arm64)

package media

import (
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A loop that blocks, since nobody talks, is woken by packets, by new sessions
// and by the end.
func TestEpollBlocksAndWakes(t *testing.T) {
	r := loopback(t, PortRange{27100, 27199}, asIs)
	doze := func() { time.Sleep(3 * idleTicks * tick) } // real time: the kernel is the other side
	first, a, b := realCall(t, r)
	exchange(t, first, A, a, b, 5)
	doze()
	exchange(t, first, A, a, b, 5)
	doze()
	second, c, d := realCall(t, r)
	exchange(t, second, B, d, c, 5)
	doze()
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	exchange(t, first, B, b, a, 5)
	doze()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// What is written for sendto reads back as what recvfrom would report.
func TestSocketAddresses(t *testing.T) {
	for _, text := range []string{"198.51.100.1:4000", "[2001:db8::1]:65535", "127.0.0.1:258"} {
		want := netip.MustParseAddrPort(text)
		var l epollLoop
		addr, size := l.destination(want)
		if want.Addr().Is4() {
			*(*syscall.RawSockaddrInet4)(unsafe.Pointer(&l.src)) = *(*syscall.RawSockaddrInet4)(addr)
		} else {
			l.src = *(*syscall.RawSockaddrInet6)(addr)
		}
		if got := l.source(); got != want || size < 16 {
			t.Errorf("%s read back as %s (%d bytes)", want, got, size)
		}
	}
}
