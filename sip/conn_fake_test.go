package sip

import (
	"bytes"
	"net"
	"net/netip"
	"time"
)

// nullPacket is a socket that nothing comes from and that forgets what is sent.
type nullPacket struct{}

func (nullPacket) ReadFrom([]byte) (int, net.Addr, error)    { return 0, nil, net.ErrClosed }
func (nullPacket) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }
func (nullPacket) Close() error                              { return nil }
func (nullPacket) LocalAddr() net.Addr                       { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 5060} }
func (nullPacket) SetDeadline(time.Time) error               { return nil }
func (nullPacket) SetReadDeadline(time.Time) error           { return nil }
func (nullPacket) SetWriteDeadline(time.Time) error          { return nil }

// recorder keeps what is sent.
type recorder struct {
	nullPacket
	sent [][]byte
	to   []netip.AddrPort
}

func (r *recorder) WriteTo(b []byte, addr net.Addr) (int, error) {
	r.sent = append(r.sent, bytes.Clone(b))
	r.to = append(r.to, addr.(*net.UDPAddr).AddrPort())
	return len(b), nil
}
