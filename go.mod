module tandem

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1 // tests: linearizability
	github.com/coreos/go-systemd/v22 v22.7.0 // readiness and watchdog
	github.com/danielgtaylor/huma/v2 v2.37.2 // HTTP API, OpenAPI 3.1
	github.com/emiago/sipgo v1.7.2 // SIP URIs (its parser)
	github.com/gaissmai/bart v0.30.0 // CIDR look-up of sources
	github.com/google/go-cmp v0.7.0 // tests
	github.com/hashicorp/go-hclog v1.6.3 // raft's log, as slog
	github.com/hashicorp/memberlist v0.7.0 // membership
	github.com/hashicorp/raft v1.8.0 // consensus
	github.com/icholy/digest v1.2.0 // digest authentication
	github.com/miekg/dns v1.1.73 // SRV and address records of gateways
	github.com/pelletier/go-toml/v2 v2.4.3 // configuration and objects files
	github.com/pion/rtcp v1.2.16 // tests: RTCP packets
	github.com/pion/rtp v1.10.6 // RTP headers
	github.com/pion/srtp/v3 v3.0.10 // SRTP
	github.com/prometheus/client_golang v1.25.0 // metrics
	github.com/shopspring/decimal v1.6.0 // tests: oracle of money
	github.com/spf13/cobra v1.10.2 // command line
	github.com/spf13/pflag v1.0.10 // command line: flag values
	github.com/vishvananda/netlink v1.3.1 // service addresses on interfaces
	go.etcd.io/bbolt v1.5.0 // log, outbox, CDRs
	go.uber.org/goleak v1.3.0 // tests
	golang.org/x/sys v0.49.0 // socket options, boot time, epoll
	golang.org/x/time v0.16.0 // request rates of the API
	pgregory.net/rapid v1.3.0 // tests: properties
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/fatih/color v1.13.0 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/pool v0.2.1 // indirect
	github.com/gobwas/ws v1.3.2 // indirect
	github.com/google/btree v1.1.3 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/hashicorp/errwrap v1.1.0 // indirect
	github.com/hashicorp/go-immutable-radix v1.3.1 // indirect
	github.com/hashicorp/go-metrics v0.7.0 // indirect
	github.com/hashicorp/go-msgpack/v2 v2.1.5 // indirect
	github.com/hashicorp/go-multierror v1.1.1 // indirect
	github.com/hashicorp/go-sockaddr v1.0.7 // indirect
	github.com/hashicorp/golang-lru v1.0.2 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pion/logging v0.2.4 // indirect
	github.com/pion/randutil v0.1.0 // indirect
	github.com/pion/transport/v4 v4.0.1 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/sean-/seed v0.0.0-20170313163322-e2103e2c3529 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
