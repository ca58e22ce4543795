package call

import (
	"fmt"
	"strings"

	"tandem/fsm"
	"tandem/media"
)

// endsSRTP reports that encryption ends at the relay, because one of the two
// gateways has it its own way. Otherwise keys pass from side to side in the SDP.
func (c *Call) endsSRTP() bool {
	return c.relayed && (c.profile(media.A).SRTP != fsm.SRTPPass || c.profile(media.B).SRTP != fsm.SRTPPass)
}

// keysOf takes a side's keys out of its SDP. Ours to it are kept while the suite
// stays: those that the relay has, or those that it was sent.
func (c *Call) keysOf(from media.Side, body []byte, m media.Media) (media.Crypto, error) {
	if !c.endsSRTP() || m.Fax() {
		return media.Crypto{}, nil
	}
	l := &c.legs[from]
	if !strings.HasPrefix(strings.ToUpper(m.Proto), "RTP/SAVP") {
		if c.profile(from).SRTP == fsm.SRTPOn {
			return media.Crypto{}, fmt.Errorf("%s is not encrypted: %w", m.Proto, media.ErrNoAudio)
		}
		return media.Crypto{}, nil
	}
	lines, err := media.CryptoLines(body)
	if err != nil {
		return media.Crypto{}, err
	}
	if len(lines) == 0 {
		return media.Crypto{}, fmt.Errorf("%s without a key of use: %w", m.Proto, media.ErrNoAudio)
	}
	keys := media.Crypto{Suite: lines[0].Suite, Theirs: lines[0].Key}
	l.keyTag = lines[0].Tag
	if sent := sentKey(l); l.remote.Crypto.Suite == keys.Suite {
		keys.Ours = l.remote.Crypto.Ours
	} else if sent.Suite == keys.Suite {
		keys.Ours = sent.Key
	} else {
		keys.Ours = media.NewKeying(keys.Suite)
	}
	return keys, nil
}

// sentKey is the key in the newest SDP that a leg was sent; the zero line: none.
func sentKey(l *leg) media.CryptoLine {
	lines, err := media.CryptoLines(l.sent)
	if err != nil || len(lines) == 0 {
		return media.CryptoLine{}
	}
	return lines[0]
}

// encrypt makes the SDP that goes to a leg one of RTP or SRTP, as the leg has it, or
// as its gateway wants it while nothing has come from there.
func (c *Call) encrypt(to media.Side, body []byte) ([]byte, error) {
	if !c.endsSRTP() {
		return body, nil
	}
	d, err := media.Parse(body)
	if err != nil {
		return nil, err
	}
	if m, err := d.Audio(); err != nil || m.Fax() {
		return body, err
	}
	l := &c.legs[to]
	switch key := sentKey(l); {
	case l.remote.Crypto.Suite != media.SuiteNone:
		return media.WithCrypto(body, media.CryptoLine{Tag: l.keyTag, Suite: l.remote.Crypto.Suite, Key: l.remote.Crypto.Ours})
	case l.remote.RTP.IsValid() || c.profile(to).SRTP != fsm.SRTPOn:
		return media.WithCrypto(body)
	case key.Suite != media.SuiteNone:
		return media.WithCrypto(body, key)
	}
	const suite = media.SuiteAES128SHA80 // the one that everybody has (RFC 4568 section 6.2.1)
	return media.WithCrypto(body, media.CryptoLine{Tag: 1, Suite: suite, Key: media.NewKeying(suite)})
}
