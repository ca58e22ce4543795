//go:build !linux || !(amd64 || arm64)

package sip

import "net"

// newBatchReader returns nil: this system reads one datagram at a time.
func newBatchReader(*net.UDPConn) datagramReader { return nil }

// newBatchWriter returns nil: this system sends one datagram at a time.
func newBatchWriter(*net.UDPConn) datagramWriter { return nil }
