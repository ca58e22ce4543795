//go:build linux && (amd64 || arm64)

package sip

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2) on 64-bit systems.
type mmsghdr struct {
	hdr    unix.Msghdr
	length uint32
	_      uint32
}

// batch is the memory of one recvmmsg or sendmmsg call, laid out once: nothing is
// allocated for a datagram. Of x/net's ReadBatch, which hides the call, each
// datagram costs two allocations for its address.
type batch struct {
	raw   syscall.RawConn
	inet6 bool // the socket's family
	names [batchSize]unix.RawSockaddrInet6
	iovs  [batchSize]unix.Iovec
	hdrs  [batchSize]mmsghdr

	// call is made once, so that no closure is allocated for each call.
	call  func(fd uintptr) bool
	want  int // headers to use
	n     int // result of the call
	errno syscall.Errno
}

func newBatch(conn *net.UDPConn, number uintptr) *batch {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	local, err := addrPortOf(conn.LocalAddr())
	if err != nil {
		return nil
	}
	b := &batch{raw: raw, inet6: local.Addr().Is6()}
	for i := range b.hdrs {
		h := &b.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
	}
	b.call = func(fd uintptr) bool {
		for {
			n, _, errno := unix.Syscall6(number, fd, uintptr(unsafe.Pointer(&b.hdrs[0])), uintptr(b.want), unix.MSG_DONTWAIT, 0, 0)
			if errno == unix.EINTR {
				continue // waiting for the socket now could miss what is there
			}
			b.n, b.errno = int(n), errno
			return errno != unix.EAGAIN
		}
	}
	return b
}

// batchReader reads with recvmmsg.
type batchReader struct {
	*batch
	bufs [batchSize][]byte
}

func newBatchReader(conn *net.UDPConn) datagramReader {
	b := newBatch(conn, unix.SYS_RECVMMSG)
	if b == nil {
		return nil
	}
	r := &batchReader{batch: b}
	memory := make([]byte, batchSize*maxMessage)
	for i := range r.bufs {
		r.bufs[i] = memory[i*maxMessage : (i+1)*maxMessage]
		r.iovs[i].Base = &r.bufs[i][0]
		r.iovs[i].SetLen(maxMessage)
	}
	r.want = batchSize
	return r
}

func (r *batchReader) read() (int, error) {
	for i := range r.hdrs {
		r.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	if err := r.raw.Read(r.call); err != nil {
		return 0, err
	}
	if r.errno != 0 {
		return 0, r.errno
	}
	return r.n, nil
}

func (r *batchReader) datagram(i int) ([]byte, netip.AddrPort) {
	return r.bufs[i][:r.hdrs[i].length], addrOf(&r.names[i])
}

// batchWriter sends with sendmmsg.
type batchWriter struct {
	*batch
	conn *net.UDPConn
}

func newBatchWriter(conn *net.UDPConn) datagramWriter {
	b := newBatch(conn, unix.SYS_SENDMMSG)
	if b == nil {
		return nil
	}
	return &batchWriter{b, conn}
}

func (w *batchWriter) write(batch []outgoing) (int, error) {
	if len(batch) == 1 { // the usual case has a shorter way
		if err := writePacket(w.conn, batch[0].raw, batch[0].dest.Addr); err != nil {
			return 0, err
		}
		return 1, nil
	}
	w.want = 0
	for i, out := range batch[:min(len(batch), batchSize)] {
		if !w.inet6 && !out.dest.Addr.Addr().Unmap().Is4() {
			break
		}
		w.want++
		w.hdrs[i].hdr.Namelen = setAddr(&w.names[i], out.dest.Addr, w.inet6)
		w.iovs[i].Base = &out.raw[0]
		w.iovs[i].SetLen(len(out.raw))
	}
	if w.want == 0 {
		return 0, unix.EAFNOSUPPORT
	}
	err := w.raw.Write(w.call)
	clear(w.iovs[:w.want]) // what was sent may be collected
	switch {
	case err != nil:
		return 0, err
	case w.errno != 0:
		return 0, w.errno
	}
	return w.n, nil
}

// addrOf reads a socket address of either family.
func addrOf(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), ntohs(v4.Port))
	}
	addr := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && addr.IsLinkLocalUnicast() {
		addr = addr.WithZone(strconv.Itoa(int(name.Scope_id)))
	}
	return netip.AddrPortFrom(addr, ntohs(name.Port))
}

// setAddr writes a socket address for a socket of the given family, which has to
// be able to reach dest, and returns its length.
func setAddr(name *unix.RawSockaddrInet6, dest netip.AddrPort, inet6 bool) uint32 {
	if !inet6 {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: ntohs(dest.Port()), Addr: dest.Addr().Unmap().As4()}
		return unix.SizeofSockaddrInet4
	}
	scope, err := strconv.ParseUint(dest.Addr().Zone(), 10, 32)
	if err != nil {
		scope = 0
	}
	*name = unix.RawSockaddrInet6{
		Family: unix.AF_INET6, Port: ntohs(dest.Port()), Addr: dest.Addr().As16(), Scope_id: uint32(scope),
	}
	return unix.SizeofSockaddrInet6
}

// ntohs swaps a port between the network's order and ours.
func ntohs(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
