package fsm

import (
	"bytes"
	"cmp"
	"strings"

	"tandem/billing"
	"tandem/fsm/fraud"
	"tandem/fsm/wire"
)

// recordKind numbers the records of a snapshot and of the state's hash. Numbers
// are never reused.
type recordKind uint8

const (
	recordHeader recordKind = 1 + iota
	recordAccount
	recordHouse
	recordMapping
	recordRouting
	recordRateTable
	recordRateVersion
	recordRateChunk
	recordNumberList
	recordBlock
	recordWindow
	recordParameter
	recordToken
	recordMember
	recordCall
	recordEnded
	recordResult
	recordAdminKey
	recordAddress
	recordDay
	recordPackage
	recordPurchase
	recordPhone
	recordBinding
	recordEnd // closes a snapshot: a stream that was cut is not complete without it
)

// build makes the tables. Their order is that of a snapshot.
func (s *State) build() {
	s.accounts = newTable(text(recordAccount, (*Account).fields))
	s.houses = newTable(shape[houseKey, billing.Balance]{
		kind: recordHouse, key: (*houseKey).fields,
		value: func(b *billing.Balance, c *wire.Codec) { balance(c, b) },
		order: func(a, b houseKey) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Currency, b.Currency))
		},
	})
	s.mappings = newTable(text(recordMapping, (*MappingGateway).fields))
	s.routings = newTable(text(recordRouting, (*RoutingGateway).fields))
	s.prices = newTable(text(recordRateTable, (*RateTable).fields))
	s.versions = newTable(shape[versionKey, rateVersion]{
		kind: recordRateVersion, key: (*versionKey).fields, value: (*rateVersion).fields, order: versionKey.compare,
	})
	s.chunks = newTable(shape[chunkKey, rateChunk]{
		kind: recordRateChunk, key: (*chunkKey).fields, value: (*rateChunk).fields, order: chunkKey.compare,
	})
	s.lists = newTable(text(recordNumberList, (*NumberList).fields))
	s.blocks = newTable(shape[fraud.Key, Block]{
		kind: recordBlock, key: numberKey, value: (*Block).fields, order: fraud.Key.Compare, paged: true,
	})
	s.windows = newTable(shape[fraud.Key, fraud.Window]{
		kind: recordWindow, key: numberKey, value: (*fraud.Window).Fields, order: fraud.Key.Compare,
	})
	s.params = newTable(text(recordParameter, (*parameter).fields))
	s.tokens = newTable(text(recordToken, (*Token).fields))
	s.members = newTable(shape[NodeID, Member]{
		kind: recordMember, value: (*Member).fields, order: cmp.Compare[NodeID],
		key: func(n *NodeID, c *wire.Codec) { node(c, n) },
	})
	s.calls = newTable(shape[CallID, Call]{
		kind: recordCall, key: (*CallID).fields, value: (*Call).fields, order: CallID.compare,
	})
	s.ended = newTable(shape[CallID, tombstone]{
		kind: recordEnded, key: (*CallID).fields, value: (*tombstone).fields, order: CallID.compare,
	})
	s.results = newTable(shape[resultKey, Result]{
		kind: recordResult, key: (*resultKey).fields, value: (*Result).fields,
		order: func(a, b resultKey) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Seq, b.Seq)) },
	})
	s.keys = newTable(shape[string, adminResult]{
		kind: recordAdminKey, value: (*adminResult).fields, order: strings.Compare,
		key: func(k *string, c *wire.Codec) { c.String(k, maxKey) },
	})
	s.addresses = newTable(text(recordAddress, (*Address).fields))
	s.days = newTable(shape[int32, Day]{
		kind: recordDay, value: (*Day).fields, order: cmp.Compare[int32],
		key: func(n *int32, c *wire.Codec) { i32(c, n) },
	})
	s.packages = newTable(text(recordPackage, (*Package).fields))
	s.purchases = newTable(shape[purchaseKey, Purchase]{
		kind: recordPurchase, key: (*purchaseKey).fields, value: (*Purchase).fields, order: purchaseKey.compare,
	})
	s.phones = newTable(shape[string, Phone]{
		kind: recordPhone, value: (*Phone).fields, order: strings.Compare, paged: true,
		key: func(k *string, c *wire.Codec) { digits(c, k) },
	})
	s.bindings = newTable(shape[bindingKey, Binding]{
		kind: recordBinding, key: (*bindingKey).fields, value: (*Binding).fields, order: bindingKey.compare,
	})
	s.tables = []shelf{
		s.accounts, s.houses, s.mappings, s.routings, s.prices, s.versions, s.chunks, s.lists, s.blocks,
		s.windows, s.params, s.tokens, s.members, s.calls, s.ended, s.results, s.keys,
		s.addresses, s.days, s.packages, s.purchases, s.phones, s.bindings,
	}
}

// text is the shape of records that are known by a name.
func text[V any](kind recordKind, value func(*V, *wire.Codec)) shape[string, V] {
	return shape[string, V]{
		kind: kind, value: value, order: strings.Compare, paged: true,
		key: func(k *string, c *wire.Codec) { name(c, k) },
	}
}

func (id CallID) compare(o CallID) int { return bytes.Compare(id[:], o[:]) }

func (id *CallID) fields(c *wire.Codec) { c.Fixed(id[:]) }

func (h *header) fields(c *wire.Codec) {
	c.Fixed(h.HashKey[:])
	wire.Int(c, &h.At)
	c.U16(&h.Level)
	c.Uint(&h.CDRs)
	c.Uint(&h.Transfers)
	c.Fixed(h.Link[:])
	i32(c, &h.Horizon)
	c.Fixed(h.Forgotten[:])
}

func (k *houseKey) fields(c *wire.Codec) {
	name(c, &k.Name)
	name(c, &k.Currency)
}

func numberKey(k *fraud.Key, c *wire.Codec) {
	c.U8(&k.List)
	name(c, &k.Scope)
	name(c, &k.Account)
	digits(c, &k.Number)
}

func (k *resultKey) fields(c *wire.Codec) {
	node(c, &k.Node)
	c.Uint(&k.Seq)
}

func (p *parameter) fields(c *wire.Codec) { detail(c, &p.Value) }

func (r *adminResult) fields(c *wire.Codec) {
	wire.Int(c, &r.At)
	c.Fixed(r.Body[:])
	r.Result.fields(c)
}

func (t *tombstone) fields(c *wire.Codec) {
	wire.Int(c, &t.At)
	wire.Enum(c, &t.Code, CalleeBusy)
	c.Uint(&t.CDR)
	wire.Int(c, &t.Fee)
	wire.Optional(c, &t.Final, each)
	wire.Optional(c, &t.Last, each)
	c.Bool(&t.Left)
}
