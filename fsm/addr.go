package fsm

// Addr is a transport address: an IP (IPv4 in its mapped form) and a port.
// Package net is out of bounds here, and values must compare and hash cheaply.
type Addr struct {
	IP   [16]byte
	Port uint16 // 0: none
}

// Prefix is a network: an IP and how many leading bits count (32 or 128 for one
// host; IPv4 bits are counted from the mapped form's 96).
type Prefix struct {
	IP   [16]byte
	Bits uint8 // of 128
}
