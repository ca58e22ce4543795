package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// DNS asks name servers, one after the other until one answers.
type DNS struct {
	servers []string // host:port
	client  *dns.Client
	tcp     *dns.Client
}

// askTime is how long one server may take to answer.
const askTime = time.Second

// NewDNS returns a lookup that asks the servers of a resolv.conf file.
func NewDNS(file string) (*DNS, error) {
	cfg, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("read name servers: %w", err)
	}
	if len(cfg.Servers) == 0 {
		return nil, fmt.Errorf("read name servers: %s names none", file)
	}
	port := cfg.Port
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		port = "53"
	}
	d := &DNS{client: &dns.Client{Timeout: askTime}, tcp: &dns.Client{Net: "tcp", Timeout: askTime}}
	for _, s := range cfg.Servers {
		d.servers = append(d.servers, net.JoinHostPort(s, port))
	}
	return d, nil
}

// Services asks for SRV records.
func (d *DNS) Services(ctx context.Context, name string) ([]Service, time.Duration, error) {
	rrs, ttl, err := d.ask(ctx, name, dns.TypeSRV)
	if err != nil {
		return nil, 0, err
	}
	var services []Service
	for _, rr := range rrs {
		// A target of "." says that the service is not there (RFC 2782).
		if s, ok := rr.(*dns.SRV); ok && s.Target != "." {
			services = append(services, Service{Target: s.Target, Port: s.Port, Priority: s.Priority, Weight: s.Weight})
		}
	}
	return services, ttl, nil
}

// Hosts asks for A and AAAA records.
func (d *DNS) Hosts(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	var addrs []netip.Addr
	ttl := maxTTL
	var first error
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		rrs, t, err := d.ask(ctx, name, kind)
		if err != nil {
			if first == nil || errors.Is(first, ErrNoName) {
				first = err
			}
			continue
		}
		for _, rr := range rrs {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if a, ok := netip.AddrFromSlice(ip); ok {
				addrs = append(addrs, a.Unmap())
			}
		}
		ttl = min(ttl, t)
	}
	if len(addrs) > 0 {
		return addrs, ttl, nil
	}
	if first == nil {
		first = ErrNoName
	}
	return nil, 0, first
}

// ask puts one question. Aliases are followed by the server (RFC 1034 section 4.3.2).
func (d *DNS) ask(ctx context.Context, name string, kind uint16) ([]dns.RR, time.Duration, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	m.SetEdns0(1232, false) // the size that passes every path unfragmented
	var last error
	for _, server := range d.servers {
		res, _, err := d.client.ExchangeContext(ctx, m, server)
		if err == nil && res.Truncated {
			res, _, err = d.tcp.ExchangeContext(ctx, m, server)
		}
		switch {
		case err != nil:
			last = fmt.Errorf("ask %s: %w", server, err)
			continue
		case res.Rcode == dns.RcodeNameError:
			return nil, 0, fmt.Errorf("%s: %w", name, ErrNoName)
		case res.Rcode != dns.RcodeSuccess:
			last = fmt.Errorf("ask %s: %s", server, dns.RcodeToString[res.Rcode])
			continue
		}
		ttl := maxTTL
		var found []dns.RR
		for _, rr := range res.Answer {
			ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
			if rr.Header().Rrtype == kind {
				found = append(found, rr)
			}
		}
		if len(found) == 0 {
			return nil, 0, fmt.Errorf("%s: %w", name, ErrNoName)
		}
		return found, ttl, nil
	}
	return nil, 0, last
}
