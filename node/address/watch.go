package address

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxFrame holds every frame that makes a claim, and the begin of all others.
const maxFrame = 256

// watch is an interface's wire: it sends frames and sees those of others that
// claim an address.
type watch struct {
	file  *os.File // a packet socket
	index int
	mac   net.HardwareAddr
	buf   [maxFrame]byte
}

// watch opens the wire of the interface. It needs CAP_NET_RAW.
func (l *link) watch() (*watch, error) {
	dev, err := net.InterfaceByName(l.name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", l.name, err)
	}
	if len(dev.HardwareAddr) != len(broadcast) {
		return nil, fmt.Errorf("interface %s has no Ethernet address", l.name)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket on %s: %w", l.name, err)
	}
	// Only what can be a claim reaches us, or every packet of the interface would.
	if err = onlyClaims(fd); err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network(unix.ETH_P_ALL), Ifindex: dev.Index})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("packet socket on %s: %w", l.name, err), unix.Close(fd))
	}
	return &watch{file: os.NewFile(uintptr(fd), "packet "+l.name), index: dev.Index, mac: dev.HardwareAddr}, nil
}

// network turns a 16-bit number into the order of the wire.
func network(n uint16) uint16 { return n<<8 | n>>8 }

// onlyClaims lets ARP and neighbour advertisements through (a classic BPF program).
func onlyClaims(fd int) error {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 12}, // Ethernet type
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: etherARP, Jt: 5},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: etherIPv6, Jf: 5},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: etherSize + 6}, // next header
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: icmpv6, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: etherSize + ipv6Size}, // type
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: ndAdvert, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: maxFrame},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

func (w *watch) send(frame []byte) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), frame, 0, &unix.SockaddrLinklayer{Ifindex: w.index, Halen: uint8(len(broadcast))})
		return !errors.Is(sent, unix.EAGAIN)
	})
	return errors.Join(err, sent)
}

// claimed waits for a frame in which another host claims ip, and returns its MAC;
// nil when d has passed or ctx has ended.
func (w *watch) claimed(ctx context.Context, ip netip.Addr, d time.Duration) net.HardwareAddr {
	stop := context.AfterFunc(ctx, func() { w.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := w.file.SetReadDeadline(time.Now().Add(d)); err != nil || ctx.Err() != nil {
		return nil
	}
	for {
		n, err := w.file.Read(w.buf[:])
		if err != nil {
			return nil
		}
		whose, mac, ok := claim(w.buf[:n])
		if ok && whose == ip && !bytes.Equal(mac, w.mac) {
			return bytes.Clone(mac)
		}
	}
}

func (w *watch) close() { w.file.Close() }
