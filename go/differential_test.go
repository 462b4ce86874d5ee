//go:build cgo && !purego

package tokenpin

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The library against the backend in pure Go, on random and on fuzzed inputs. The inputs are drawn
// from bytes: in the tests from random ones, whose seed is printed and may be given in
// TOKENPIN_SEED, and in the fuzz targets from the fuzzer's.

func (d *draws) u32() uint32 { return uint32(d.u16()) | uint32(d.u16())<<16 }
func (d *draws) u64() uint64 { return uint64(d.u32()) | uint64(d.u32())<<32 }

func (d *draws) bytes16() (b [16]byte) {
	if d.rarely() {
		return b
	}
	binary.LittleEndian.PutUint64(b[:], d.u64())
	binary.LittleEndian.PutUint64(b[8:], d.u64())
	return b
}

func (d *draws) same(what string, native, purego any, where ...any) {
	d.t.Helper()
	if !reflect.DeepEqual(native, purego) {
		d.t.Fatalf("%s: the library says %+q, pure Go %+q: %+q", what, native, purego, fmt.Sprintf("%+v", where))
	}
}

const epoch = 1_800_000_000

func (d *draws) now() int64 {
	return one(d, epoch, epoch, epoch, epoch+int64(d.u16()), 0, 1<<32-1, 1<<32, 1<<45-1, 1<<62, -1)
}

func (d *draws) scope() string {
	return one(d, "", "", "openai", "openai/tenant", strings.Repeat("s", 1024), strings.Repeat("s", 1025), "\x00\xff")
}

func (d *draws) name() string {
	return one(d, "pin", "pin", "__Host-tokenpin", "__Secure-pin", "__hOst-x", "a", strings.Repeat("n", 128),
		strings.Repeat("n", 129), "", "p;n", "p n", "p=n", "p\x00", "ü")
}

func (d *draws) keyText() string {
	return one(d, "alice", "bob", "a", "", "alice\x00", "12345678", strings.Repeat("k", 4096), strings.Repeat("k", 4097))
}

func (d *draws) key() Key {
	switch kind := Kind(d.below(5)); kind {
	case KindAnonymous:
		id := d.bytes16()
		return Key{kind, string(id[:one(d, 16, 16, 16, 16, 15, 0)]), ""}
	case KindCombined:
		return Key{kind, d.keyText(), d.keyText()}
	default:
		return Key{kind, d.keyText(), one(d, "", "x")}
	}
}

func (d *draws) status() SlotStatus {
	return SlotStatus{
		Until: one(d, 0, 0, 0, epoch-1, epoch, epoch+1, MaxUntil, MaxUntil+1, -1),
		Weight: one(d, MaxWeight, MaxWeight, MaxWeight, uint32(d.u16()), 0, 1, MaxWeight/2, MaxWeight-1, MaxWeight+1,
			1<<32-1),
		State: one(d, StateUp, StateUp, StateUp, StateDraining, StateDown, StateVacant, 4),
	}
}

// manySlots is a set of a size around those at which the probes change, where many slots cannot
// serve. A single number gives all of it, so that the bytes suffice.
func (d *draws) manySlots() []SlotConfig {
	slots := make([]SlotConfig, one(d, 62, 63, 64, 64, 65, 65, 66, 127, 128, 129, 300, 1000))
	up, vacant := one(d, 100, 75, 50, 25, 10, 2, 0), one(d, 0, 0, 0, 30, 99)
	other := one(d, StateDown, StateDown, StateDraining)
	weights := one(d, []uint32{MaxWeight}, []uint32{MaxWeight / 2}, []uint32{1}, []uint32{0, 1},
		[]uint32{0, 1, MaxWeight / 2, MaxWeight})
	random := rand.New(rand.NewPCG(d.u64(), 0))
	for i := range slots {
		if random.IntN(100) < vacant {
			slots[i].Status.State = StateVacant
			continue
		}
		slots[i] = SlotConfig{"account-" + strconv.Itoa(i), SlotStatus{Weight: weights[random.IntN(len(weights))]}}
		if random.IntN(100) >= up {
			slots[i].Status.State = other
			if random.IntN(10) == 0 {
				slots[i].Status.State = StateDraining
			}
		}
	}
	return slots
}

// hash is one whose draw at some probe lies at the weight of a slot, or any.
func (d *draws) hash(slots []SlotConfig) uint64 {
	if d.flag() {
		return d.u64()
	}
	weight := uint64(slots[d.below(len(slots))].Status.Weight)
	hash := (weight+one[uint64](d, 0, 1, 1<<64-1))<<48 | d.u64()>>16
	for range 1 + d.below(16) {
		hash = unmix(hash) ^ 0x9e3779b97f4a7c15
	}
	return hash
}

// goodSlots is a set that is accepted.
func (d *draws) goodSlots() []SlotConfig {
	if d.rarely() {
		return d.manySlots()
	}
	slots := make([]SlotConfig, 1+d.below(one(d, 1, 3, 12, 12, 40)))
	for i := range slots {
		if d.rarely() {
			slots[i].Status.State = StateVacant
			continue
		}
		status := d.status()
		status.Weight = min(status.Weight, MaxWeight)
		status.Until = min(max(status.Until, 0), MaxUntil)
		status.State %= StateVacant
		slots[i] = SlotConfig{"account-" + strconv.Itoa(i), status}
	}
	return slots
}

// goodRing is a ring that is accepted. Its secrets follow from the ids.
func (d *draws) goodRing() []CookieKey {
	keys := make([]CookieKey, 1+d.below(4))
	first := d.byte()
	for i := range keys {
		id := first + byte(i)
		keys[i] = CookieKey{id, one(d, RoleAccept, RoleRetire), secretOf(id)}
		keys[i].Secret[0], keys[i].Secret[1] = id, 1
	}
	keys[d.below(len(keys))].Role = RoleSign
	return keys
}

func (d *draws) tried(slots int) (tried []int32) {
	for d.byte()%4 == 3 && len(tried) < 4 {
		tried = append(tried, int32(d.below(slots)))
	}
	return tried
}

func (d *draws) limits() Limits {
	return Limits{
		Skew:            one[uint32](d, 300, 0, 1<<32-1),
		MaxLife:         one[uint32](d, 0, 3600, 2592000, 1<<32-1),
		MaxIdle:         one[uint32](d, 0, 600, 1<<32-1),
		RefreshInterval: one[uint32](d, 0, 600, 1<<32-1),
	}
}

func (d *draws) cookie(pins []uint64) Cookie {
	// The edges of the limits above, seen from the epoch, among others.
	issued := one(d, uint32(epoch-4000+d.below(8000)), epoch-3600, epoch-3601, epoch+300, epoch+301, 0, 1<<32-1)
	cookie := Cookie{
		Pin: d.u64(), IssuedAt: issued,
		RefreshedAt: one(d, issued, issued, issued+100, issued-100, epoch, epoch-119, epoch-120, epoch-121, epoch-600,
			epoch-601, epoch+300, epoch+301), ID: d.bytes16(),
		Kind: one(d, KindAnonymous, KindAnonymous, KindConsumer, KindSession, KindCombined),
	}
	if len(pins) > 0 && !d.rarely() {
		cookie.Pin = pins[d.below(len(pins))]
	}
	return cookie
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// damaged changes a value.
func (d *draws) damaged(value string) string {
	if value == "" {
		return one(d, "A", "\"", strings.Repeat("A", 67))
	}
	i := d.below(len(value))
	switch d.below(6) {
	case 0:
		return value[:i]
	case 1:
		return value + "A"
	case 2:
		return value[:i] + string(d.byte()) + value[i+1:]
	case 3: // the version, the kind and the key id are in front
		i %= 3
		fallthrough
	default:
		return value[:i] + string(alphabet[d.below(64)]) + value[i+1:]
	}
}

// field makes a Cookie field around values.
func (d *draws) field(name string, values []string) string {
	var b strings.Builder
	for range d.below(5) {
		value := "x"
		if len(values) > 0 {
			value = values[d.below(len(values))]
		}
		blanks := one(d, "", "", " ", " ", "\t", "  ", "\r", "\u00a0")
		switch d.below(6) {
		case 0, 1, 2:
			fmt.Fprintf(&b, "%s%s=%s", blanks, name, value)
		case 3:
			fmt.Fprintf(&b, "%s%s%s=%s\"%s\"%s", blanks, name, blanks, blanks, value, blanks)
		case 4:
			b.WriteString(one(d, "theme=dark", "=a=b", name, "x"+name+"=1", name+"=\"",
				name+"==", "", "a,"+name+"=1", " ", name+"=\"a"))
		case 5:
			fmt.Fprintf(&b, "%sother=%s", blanks, value)
		}
		b.WriteString(one(d, ";", ";", "; ", ";;", " ;", ""))
	}
	return b.String()
}

func compareSelection(d *draws) {
	compareDraws(d)
	identity := one(d, "", "a", "account-1", strings.Repeat("i", d.below(40)), "\x00")
	nativeHash, nativeStatus := native{}.identityHash(identity)
	puregoHash, puregoStatus := purego{}.identityHash(identity)
	d.same("identityHash", []any{nativeHash, nativeStatus}, []any{puregoHash, puregoStatus}, identity)

	key, scope, placementKey := d.key(), d.scope(), Secret(d.bytes16())
	nativeHash, nativeStatus = native{}.keyHash(&placementKey, scope, &key)
	puregoHash, puregoStatus = purego{}.keyHash(&placementKey, scope, &key)
	d.same("keyHash", nativeStatus == StatusOK, puregoStatus == StatusOK, key, scope, placementKey == Secret{})
	d.same("keyHash", nativeHash, puregoHash, key, scope)
	h := d.u64()
	buckets := one(d, int32(1+d.below(300)), int32(d.u32()>>1), MaxBuckets, 0, -1, 1)
	nativeBucket, nativeStatus := native{}.jump(h, buckets)
	puregoBucket, puregoStatus := purego{}.jump(h, buckets)
	d.same("jump", []any{nativeBucket, nativeStatus}, []any{puregoBucket, puregoStatus}, h, buckets)

	config := d.goodSlots()
	if d.flag() {
		config = d.manySlots()
	}
	if d.rarely() {
		config[d.below(len(config))].Status = d.status()
	}
	if d.rarely() {
		config[d.below(len(config))].Identity = ""
	}
	nativeSlots, nativeErr := newNativeSlots(config)
	puregoSlots, puregoErr := newPuregoSlots(config)
	d.same("slots", nativeErr, puregoErr, config)
	if nativeErr != nil {
		return
	}
	for range 4 {
		i, status := int32(d.below(len(config))), d.status()
		d.same("set", nativeSlots.setSlot(i, &status), puregoSlots.setSlot(i, &status), config[i], status)
		nativeGot, _ := nativeSlots.getSlot(i)
		puregoGot, _ := puregoSlots.getSlot(i)
		d.same("get", nativeGot, puregoGot, config, i, status)

		strategy := Strategy(d.below(3))
		if d.rarely() {
			strategy = 3
		}
		filter := Filter{d.now(), d.tried(len(config)), d.flag()}
		hashes := make([]uint64, d.below(40))
		for i := range hashes {
			hashes[i] = d.hash(config)
		}
		nativeMany, puregoMany := make([]int32, len(hashes)), make([]int32, len(hashes))
		nativeStatus = nativeSlots.selectBatch(nativeMany, strategy, &filter, hashes)
		puregoStatus = puregoSlots.selectBatch(puregoMany, strategy, &filter, hashes)
		d.same("selectBatch", nativeStatus, puregoStatus, strategy, filter)
		d.same("selectBatch", nativeMany, puregoMany, strategy, config, filter, hashes)
		for j, hash := range hashes {
			key := d.key()
			slot, s := nativeSlots.selectHigress(&filter, hash, &key)
			puregoSlot, puregoS := puregoSlots.selectHigress(&filter, hash, &key)
			d.same("selectHigress", []any{slot, s}, []any{puregoSlot, puregoS}, config, filter, hash, key)
			slot, s = nativeSlots.selectOne(strategy, &filter, hash)
			puregoSlot, puregoS = puregoSlots.selectOne(strategy, &filter, hash)
			d.same("select", []any{slot, s}, []any{puregoSlot, puregoS}, strategy, config, filter, hash)
			if s == StatusOK {
				d.same("select and selectBatch", slot, nativeMany[j], strategy, config, filter, hash)
			}
		}
	}
}

// unmix is the inverse of mix, to reach draws that chance never would.
func unmix(x uint64) uint64 {
	inverse := func(a uint64) uint64 { // Newton's iteration, modulo 2^64
		x := a
		for range 6 {
			x *= 2 - a*x
		}
		return x
	}
	x ^= x>>31 ^ x>>62
	x *= inverse(0x94d049bb133111eb)
	x ^= x>>27 ^ x>>54
	x *= inverse(0xbf58476d1ce4e5b9)
	return x ^ x>>30 ^ x>>60
}

// compareDraws compares weighted rendezvous on draws at the edges of the logarithm, and on ties.
func compareDraws(d *draws) {
	h := d.u64()
	var drawn []uint64
	var weights []uint32
	for range 1 + d.below(4) {
		edge := one(d, 0, 1<<64-1, 1<<d.below(64), d.u64(), d.u64()>>55<<55, d.u64()>>1)
		drawn = append(drawn, edge+one[uint64](d, 0, 0, 1, 1<<64-1))
		weights = append(weights, one(d, 1, 2, 3, MaxWeight-1, MaxWeight, 1+uint32(d.u16())))
	}
	if d.flag() {
		// Half of a draw has a logarithm that is 1 more; so weights in the ratio of the logarithms
		// tie.
		bits, halvings, unit := 1+d.below(30), 1+d.below(30), uint32(1+d.below(1000))
		drawn = append(drawn, 1<<(64-bits)-1, 1<<(64-bits-halvings)-1)
		weights = append(weights, uint32(bits)*unit, uint32(bits+halvings)*unit)
	}
	if i := d.below(len(drawn)); d.flag() {
		drawn, weights = append(drawn, drawn[i]), append(weights, weights[i])
	}
	config := make([]SlotConfig, len(drawn))
	if d.flag() {
		slices.Reverse(drawn)
		slices.Reverse(weights)
	}
	for i := range config {
		config[i] = SlotConfig{strconv.Itoa(i), SlotStatus{Weight: weights[i]}}
	}
	nativeSlots, puregoSlots := must(newNativeSlots(config)), must(newPuregoSlots(config))
	for i, r := range drawn {
		if mix(unmix(r)) != r {
			d.t.Fatal("unmix")
		}
		nativeSlots.craft(i, unmix(r)^h)
		puregoSlots[i].id = unmix(r) ^ h
	}
	native, _ := nativeSlots.selectOne(StrategyRendezvous, &Filter{}, h)
	purego, _ := puregoSlots.selectOne(StrategyRendezvous, &Filter{}, h)
	d.same("draws", native, purego, drawn, weights)
}

func compareCookies(d *draws) {
	keys := d.goodRing()
	placementKey := one(d, nil, new(Secret), &Secret{1})
	if d.rarely() {
		key := &keys[d.below(len(keys))]
		switch d.below(5) {
		case 0:
			key.Role = Role(d.below(4))
		case 1:
			key.ID = keys[0].ID
		case 2:
			key.Secret = keys[0].Secret
		case 3:
			key.Secret = Secret{}
		case 4:
			placementKey = &key.Secret
		}
	}
	nativeRing, nativeErr := newNativeRing(keys, placementKey)
	puregoRing, puregoErr := newPuregoRing(keys, placementKey)
	d.same("ring", nativeErr, puregoErr, len(keys), placementKey == nil)
	if nativeErr == nil {
		name, scope, key, cookie := d.name(), d.scope(), d.key(), d.cookie(nil)
		if !d.rarely() {
			cookie.Kind = key.Kind
		}
		var value, puregoValue [CookieValueLen]byte
		s := nativeRing.encode(name, scope, &key, &cookie, &value)
		puregoS := puregoRing.encode(name, scope, &key, &cookie, &puregoValue)
		d.same("encode", s == StatusOK, puregoS == StatusOK, name, scope, key, cookie)
		d.same("encode", value, puregoValue, name, scope, key, cookie)
		read := string(value[:])
		if d.flag() {
			read = d.damaged(read)
		}
		if d.rarely() {
			name = d.name()
		}
		if d.rarely() {
			scope = d.scope()
		}
		if d.rarely() {
			key = d.key()
		}
		limits, now := d.limits(), d.now()
		cookie = Cookie{}
		var puregoCookie Cookie
		verdict, s := nativeRing.decode(name, scope, &key, &limits, now, read, &cookie)
		puregoVerdict, puregoS := puregoRing.decode(name, scope, &key, &limits, now, read, &puregoCookie)
		d.same("decode", s == StatusOK, puregoS == StatusOK, name, scope, key, limits, now, read)
		d.same("decode", []any{verdict, cookie}, []any{puregoVerdict, puregoCookie}, name, scope, key, limits, now, read)
	}
	compareFields(d, "", d.name())
}

// compareFields compares what needs no key. The field is drawn if there is none.
func compareFields(d *draws, field, name string) {
	if field == "" {
		field = d.field(name, []string{"v", "", "a b", "\"q\""})
	}
	d.same("values", native{}.cookieValues(nil, field, name), purego{}.cookieValues(nil, field, name), field, name)
	d.same("strip", native{}.cookieStrip(field, name), purego{}.cookieStrip(field, name), field, name)
	d.same("matches", native{}.setCookieMatches(field, name), purego{}.setCookieMatches(field, name), field, name)

	scope := d.scope()
	defaultName, s := native{}.cookieDefaultName(scope)
	puregoDefault, puregoS := purego{}.cookieDefaultName(scope)
	d.same("default name", []any{defaultName, s}, []any{puregoDefault, puregoS}, scope)

	attributes, maxAge := d.attributes(), d.maxAge()
	value := one(d, "v", "", "a b", "a\"", strings.Repeat("v", 1024), strings.Repeat("v", 1025))
	line, s := native{}.setCookieWrite(make([]byte, 1, 1+d.below(200)), name, value, &attributes, maxAge)
	puregoLine, puregoS := purego{}.setCookieWrite([]byte{0}, name, value, &attributes, maxAge)
	d.same("set cookie", s == StatusOK, puregoS == StatusOK, name, value, attributes, maxAge)
	d.same("set cookie", string(line), string(puregoLine), name, value, attributes, maxAge)

	rules, replace, promptCache := d.rules(), d.rarely(), d.flag()
	method, target := d.methodAndTarget()
	class, s := native{}.classify(rules, replace, promptCache, method, target)
	puregoClass, puregoS := purego{}.classify(rules, replace, promptCache, method, target)
	d.same("classify", []any{class, s}, []any{puregoClass, puregoS}, rules, replace, promptCache, method, target)
}

func (d *draws) attributes() Attributes {
	return Attributes{
		Path:     one(d, "", "", "/", "/x", "x", "/;", "/\x7f", "/"+strings.Repeat("p", 1024)),
		Domain:   one(d, "", "", "example.com", ";", "ü", strings.Repeat("d", 1024), strings.Repeat("d", 1025)),
		Secure:   !d.rarely(),
		HTTPOnly: d.flag(), SameSite: SameSite(d.below(3)), Partitioned: d.rarely(),
	}
}

func (d *draws) maxAge() uint32 {
	return one[uint32](d, MaxAgeAuto, MaxAgeAuto, 0, 1, 3600, MaxMaxAge, MaxMaxAge+1)
}

// rules is a classification table with at most one fault.
func (d *draws) rules() (rules []Rule) {
	for range d.below(4) {
		rules = append(rules, Rule{one(d, "files", "a", "a/b", "responses", "x/y/z", "a/*", "models/*:b", "x/*/z"),
			Group(d.below(3)), IDs(d.below(4))})
	}
	if len(rules) > 0 && d.rarely() {
		rules[d.below(len(rules))] = one(d, Rule{}, Rule{Group: 3, Pattern: "a"}, Rule{IDs: 4, Pattern: "a"},
			Rule{Pattern: one(d, "/a", "a/", "a//b", "*", "a*", "a/b*", "a/**", "a%", "a?", "a/*#")})
	}
	return rules
}

func (d *draws) methodAndTarget() (string, string) {
	method := one(d, "POST", "POST", "POST", "GET", "HEAD", "DELETE", "PUT", "OPTIONS", "TRACE", "CONNECT", "get", "")
	var target strings.Builder
	target.WriteString(one(d, "/v1/responses", "/v1/responses", "/v1/chat/completions", "", "responses"))
	for range d.below(4) {
		target.WriteString(one(d, "/", "/responses", "/files", "a", "/a/b", "/a", "?", "#", "/messages/batches",
			"//", "/x/y/z", "/compact", "/messages", "/fine_tuning/jobs", "/models",
			"/deployments", "/m:b", "/m:batchGenerateContent", "%2F", "/%66iles", "%2", "%", "%zz", "/%2566iles"))
	}
	return method, target.String()
}

// fault makes a good configuration a bad one.
func (d *draws) fault(c *Config) {
	slot := &c.Slots[d.below(len(c.Slots))]
	key := &c.CookieKeys[d.below(len(c.CookieKeys))]
	switch d.below(23) {
	case 20:
		c.IDs.Mode, c.IDs.Owner = one[Mode](d, 0, 3, 4), one[IDOwner](d, 0, 1, 2)
		c.IDs.ForeignSeals = one[ForeignSeals](d, 0, 2, 3)
	case 21:
		var many []CookieKey
		for i := range byte(8) {
			many = append(many, CookieKey{10 + i, RoleAccept, Secret{i, 9: 9}})
		}
		c.IDs.Keys = one(d, []CookieKey{{1, RoleSign, Secret{}}}, []CookieKey{{1, RoleSign, c.PlacementKey}},
			[]CookieKey{{1, RoleAccept, Secret{9: 1}}}, []CookieKey{{1, RoleSign, Secret{9: 1}}, {1, RoleAccept, Secret{9: 2}}},
			[]CookieKey{{1, 3, Secret{9: 1}}}, append([]CookieKey{{1, RoleSign, Secret{9: 99}}}, many...))
	case 22:
		c.IDs.Fields = d.fields()
	case 0:
		c.PlacementKey = Secret{}
	case 1:
		c.PlacementKey = key.Secret
	case 2:
		c.CookieKeys = nil
	case 3:
		for i := range byte(8) {
			c.CookieKeys = append(c.CookieKeys, CookieKey{c.CookieKeys[0].ID + 100 + i, RoleAccept, Secret{i, 9: 9}})
		}
	case 4:
		key.Secret = Secret{}
	case 5:
		key.Role = 3
	case 6:
		for i := range c.CookieKeys {
			c.CookieKeys[i].Role = RoleAccept
		}
	case 7:
		c.CookieKeys = append(c.CookieKeys, CookieKey{c.CookieKeys[0].ID, RoleAccept, Secret{9: 9}})
	case 8:
		c.CookieKeys = append(c.CookieKeys, CookieKey{c.CookieKeys[0].ID + 100, RoleAccept, key.Secret})
	case 9:
		c.Slots = nil
	case 10:
		c.Slots = append(c.Slots, SlotConfig{slot.Identity, Up})
	case 11:
		slot.Status = d.status()
	case 12:
		slot.Identity = one(d, "", "x")
	case 13:
		c.Scope = d.scope()
	case 14:
		c.CookieName = d.name()
	case 15:
		c.Attributes = d.attributes()
	case 16:
		c.MaxAge = d.maxAge()
	case 17:
		c.SuccessFirst, c.SuccessLast = one[uint16](d, 0, 99, 100, 200, 599), one[uint16](d, 0, 99, 100, 199, 600, 1<<16-1)
	case 18:
		c.Rules = d.rules()
	case 19:
		c.Strategy, c.PolicyExisting, c.PolicyNew = Strategy(d.below(4)), Policy(d.below(4)), Policy(d.below(4))
	}
}

func (d *draws) goodConfig() *Config {
	c := DefaultConfig()
	c.PlacementKey, c.CookieKeys, c.Slots = Secret{255}, d.goodRing(), d.goodSlots()
	c.Strategy = Strategy(d.below(3))
	c.Scope = one(d, "", "", "openai")
	c.CookieName = one(d, "", "pin", "pin")
	c.MaxAge = one[uint32](d, MaxAgeAuto, MaxAgeAuto, 0, 3600, MaxMaxAge)
	limits := d.limits()
	c.Skew, c.MaxLife, c.MaxIdle = limits.Skew, limits.MaxLife, limits.MaxIdle
	c.PolicyExisting, c.PolicyNew = Policy(d.below(3)), Policy(d.below(3))
	c.CombineKeys, c.RejectBadKeys, c.KeyedCookies = d.flag(), d.rarely(), d.flag()
	c.MintSingle, c.PromptCache, c.ReplaceRules = d.flag(), d.flag(), d.rarely()
	c.IDs.Mode, c.IDs.Owner, c.IDs.ForeignSeals = Mode(d.below(4)), IDOwner(d.below(2)), ForeignSeals(d.below(3))
	c.IDs.Encrypted = !d.rarely()
	if d.flag() {
		c.IDs.Keys = d.goodRing()
	}
	if d.flag() {
		c.IDs.Fields = ownFields
	}
	return &c
}

// fields is what is added to the table of ids, with a fault.
func (d *draws) fields() IDFields {
	name := one(d, "a", "", strings.Repeat("k", 32), strings.Repeat("k", 33))
	text := one(d, "a", "", "a.", "a/b", "_")
	f := IDFields{[]IDKey{{"a", KeyKindID}, {name, KeyKind(d.below(14))}}, []string{"a", text}, []string{text}}
	if d.rarely() {
		f.Prefixes = make([]string, 33)
		for i := range f.Prefixes {
			f.Prefixes[i] = "p"
		}
	}
	return f
}

// values are headers' values of which none, one or several count.
func (d *draws) values() (values []string) {
	for range one(d, 0, 0, 1, 1, 1, 2, 3) {
		values = append(values, d.keyText())
	}
	return values
}

func (d *draws) request(slots int) *Request {
	r := &Request{
		Consumers: d.values(), ConsumerTrusted: d.flag(), Sessions: d.values(), Carrier: d.rarely(),
		Tried: d.tried(slots), HasGroup: d.flag(),
		Group:    one(d, GroupStateful, GroupStateful, GroupStateless, GroupPromptCache),
		Existing: d.flag(), Now: d.now(), Entropy: d.bytes16(),
	}
	r.Method, r.Target = d.methodAndTarget()
	if d.rarely() {
		r.Scope = d.scope()
	}
	if d.rarely() {
		hint := d.bytes16()
		r.IDHint = &hint
	}
	if d.rarely() {
		r.Tried = append(r.Tried, one(d, -1, int32(slots), MaxBuckets))
	}
	if d.rarely() {
		r.Group = 3
	}
	return r
}

func compareDecisions(d *draws) {
	config := d.goodConfig()
	if d.rarely() {
		d.fault(config)
	}
	nativeA, nativeErr := newNativeAffinity(config)
	puregoA, puregoErr := newPuregoAffinity(config)
	d.same("new", nativeErr, puregoErr, config)
	if nativeErr != nil {
		return
	}
	d.same("fingerprint", nativeA.fingerprint(), puregoA.fingerprint(), config)
	d.same("capacity", nativeA.capacity(), puregoA.capacity(), config)
	slots := len(config.Slots)
	var pins []uint64
	for i := range int32(slots) {
		status, hash, s := nativeA.getSlot(i)
		puregoStatus, puregoHash, puregoS := puregoA.getSlot(i)
		d.same("slot", []any{status, hash, s}, []any{puregoStatus, puregoHash, puregoS}, config, i)
		pins = append(pins, hash)
		found, s := nativeA.find(config.Slots[i].Identity)
		puregoFound, puregoS := puregoA.find(config.Slots[i].Identity)
		d.same("find", []any{found, s}, []any{puregoFound, puregoS}, config, i)
	}
	scope := d.scope()
	name, s := nativeA.cookieName(scope)
	puregoName, puregoS := puregoA.cookieName(scope)
	d.same("cookie name", []any{name, s}, []any{puregoName, puregoS}, config, scope)

	of := one(d, "", "a", "connection 7", strings.Repeat("x", MaxKey), strings.Repeat("x", MaxKey+1))
	hint, s := nativeA.idHint(of)
	puregoHint, puregoS := puregoA.idHint(of)
	d.same("id hint", []any{hint, s}, []any{puregoHint, puregoS}, config, of)

	var jar []string
	for range 6 {
		if d.flag() {
			i, status := one(d, int32(d.below(slots)), -1, int32(slots)), d.status()
			d.same("set slot", nativeA.setSlot(i, &status), puregoA.setSlot(i, &status), config, i, status)
		}
		r := d.request(slots)
		name, _ := puregoA.cookieName(r.Scope)
		effective := r.Scope
		if effective == "" {
			effective = config.Scope
		}
		key, _ := puregoA.keyOf(r)
		if d.flag() { // a cookie of any key, kind and age
			ring := puregoRing{new([MaxCookieKeys]ringKey)}
			*ring.keys = *puregoA.ring.keys
			ring.keys[0] = ring.keys[d.below(len(config.CookieKeys))]
			cookie := d.cookie(pins)
			if d.flag() {
				cookie.Kind = key.Kind
			}
			var value [CookieValueLen]byte
			ring.write(name, effective, &key, &cookie, &value)
			jar = append(jar, string(value[:]))
		}
		if len(jar) > 0 && d.rarely() {
			jar = append(jar, d.damaged(jar[len(jar)-1]))
		}
		if len(jar) > 0 && d.rarely() {
			r.CarrierValue = jar[d.below(len(jar))]
		}
		for range one(d, 0, 1, 1, 2, 3, 4, 5, 6) {
			r.Cookies = append(r.Cookies, d.field(name, jar))
		}
		if len(jar) > 0 && d.rarely() { // about 64 tags, and a good cookie behind them
			good := jar[d.below(len(jar))]
			bad := good[:len(good)/2] + string(alphabet[d.below(64)]) + good[min(len(good), len(good)/2+1):]
			r.Cookies = []string{strings.Repeat(name+"="+bad+";", 62+d.below(5)) + name + "=" + good}
		}
		var decision, puregoDecision Decision
		puregoR := *r
		if d.flag() {
			r.IDs, puregoR.IDs = compareIDs(d, config, nativeA, puregoA, r)
		}
		s := nativeA.decide(r, &decision)
		puregoS := puregoA.decide(&puregoR, &puregoDecision)
		d.same("decide", s, puregoS, config, r)
		made := decision
		class, _ := nativeA.classify(r.Method, r.Target)
		puregoClass, _ := puregoA.classify(r.Method, r.Target)
		d.same("classify", class, puregoClass, config.Rules, config.ReplaceRules, config.PromptCache, r.Method, r.Target)
		d.same("live fingerprint", nativeA.liveFingerprint(r.Now), puregoA.liveFingerprint(r.Now), config, r)
		if s != StatusOK {
			continue
		}
		if !decision.hasCookie {
			// The rest of the cookie means nothing.
			decision.maxAge, decision.carrier, decision.hasSuffix = 0, false, false
			decision.suffix, decision.value = [4]byte{}, [CookieValueLen]byte{}
		}
		if decision != puregoDecision {
			d.t.Fatalf("decide: the library says %v, pure Go %v: %+v, %+v", decision, puregoDecision, config, r)
		}
		refusal, code := native{}.refusal(&decision)
		puregoRefusal, puregoCode := purego{}.refusal(&puregoDecision)
		d.same("refusal", []any{refusal, code}, []any{puregoRefusal, puregoCode}, config, r)
		status := uint16(d.below(700))
		if d.flag() {
			status = 200
		}
		line, answer, s := nativeA.finish(make([]byte, 0, d.below(300)), &made, status)
		puregoLine, puregoAnswer, puregoS := puregoA.finish([]byte{}, &puregoDecision, status)
		d.same("finish", []any{string(line), answer, s}, []any{string(puregoLine), puregoAnswer, puregoS}, config, r, status)
		if decision.hasCookie {
			jar = append(jar, string(decision.value[:]))
		}
		made.fingerprint++
		_, _, s = nativeA.finish(nil, &made, status)
		_, _, puregoS = puregoA.finish(nil, &made, status)
		d.same("stale", s, puregoS)
	}
}

// compareIDs opens the ids of a request with both backends, and seals those of a response, each cut
// in its own way.
func compareIDs(
	d *draws, config *Config, nativeA *nativeAffinity, puregoA *puregoAffinity, r *Request,
) (*IDSummary, *IDSummary) {
	scope := r.Scope
	if scope == "" {
		scope = config.Scope
	}
	keys := config.IDs.Keys
	if len(keys) == 0 {
		keys = config.CookieKeys
	}
	owner, s := nativeA.idOwner(r)
	puregoOwner, puregoS := puregoA.idOwner(r)
	d.same("owner", []any{owner, s}, []any{puregoOwner, puregoS}, config, r)
	use := &IDUse{Scope: r.Scope, Owner: owner, Upstream: one(d, "", "up.example"), Origin: one(d, "https://gateway.example", ""),
		IDs: one(d, IDsItems, IDsItems, IDsBoth, IDsOpen, IDsNone), HasMode: d.rarely(), Mode: Mode(d.below(4))}
	if d.rarely() {
		use.IDs, use.Mode = IDs(d.below(6)), Mode(d.below(6))
	}
	signed := func(i int) *IDRing {
		keys := slices.Clone(keys)
		for j := range keys {
			keys[j].Role = RoleAccept
		}
		keys[i].Role = RoleSign
		return must(NewIDRing(keys, nil))
	}
	w := &idWorld{
		config: config, now: signed(d.below(len(keys))), before: signed(0), pins: [3]uint64{puregoA.slots[0].id, 0, d.u64()},
	}
	w.pins[1] = puregoA.slots[d.below(len(puregoA.slots))].id
	if len(scope) <= MaxScope {
		w.scope = scope
	}

	summary, puregoSummary := new(IDSummary), new(IDSummary)
	same := func(what string, native, purego any, where ...any) {
		d.same(what, native, purego, append(where, config.IDs, *use)...)
		d.same(what, summary.report(), puregoSummary.pure().report(), append(where, config.IDs, *use)...)
		d.same(what, summary.quoted(), puregoSummary.pure().quoted(), append(where, config.IDs, *use)...)
	}
	number := d.byte()
	name, s := nativeA.idKey(number)
	puregoName, puregoS := puregoA.idKey(number)
	d.same("key", []any{name, s}, []any{puregoName, puregoS}, number)
	target := d.target(w, owner)
	out, s := nativeA.openTarget(use, summary, target)
	puregoOut, puregoS := puregoA.openTarget(use, puregoSummary, target)
	same("open target", []any{out, s}, []any{puregoOut, puregoS}, target)

	body := d.body(w, owner)
	if d.flag() {
		place, puregoPlace := []byte(body), []byte(body)
		n, unexpected, s := nativeA.openInPlace(use, summary, place)
		puregoN, puregoUnexpected, puregoS := puregoA.openInPlace(use, puregoSummary, puregoPlace)
		if s == StatusOK {
			same("open in place", string(place[:n]), string(puregoPlace[:puregoN]), body)
		}
		same("open in place", []any{s, unexpected}, []any{puregoS, puregoUnexpected}, body)
	} else {
		var r nativeRewriter
		var puregoR puregoRewriter
		s, puregoS := r.open(nativeA, use, summary), puregoR.open(puregoA, use, puregoSummary)
		same("open", s, puregoS, body)
		if s == StatusOK {
			text, puregoText := d.rewritten(&r, body), d.rewritten(&puregoR, body)
			same("opened", text, puregoText, body)
			same("opened", []any{r.changed(), r.unexpected()}, []any{puregoR.changed(), puregoR.unexpected()}, body)
		}
	}

	var echo, puregoEcho *IDSummary
	if !d.rarely() {
		echo, puregoEcho = summary, puregoSummary
	}
	slot, framing := int32(d.below(len(puregoA.slots)+1)), one[Framing](d, FramingJSON, FramingJSON, FramingEvents, 2)
	if d.flag() {
		body = d.body(w, owner)
	}
	var seal nativeRewriter
	var puregoSeal puregoRewriter
	s, puregoS = seal.seal(nativeA, use, echo, slot, framing), puregoSeal.seal(puregoA, use, puregoEcho, slot, framing)
	same("seal", s, puregoS, slot, framing)
	if s == StatusOK {
		text, puregoText := d.rewritten(&seal, body), d.rewritten(&puregoSeal, body)
		same("sealed", text, puregoText, body)
		same("sealed", []any{seal.changed(), seal.unexpected()}, []any{puregoSeal.changed(), puregoSeal.unexpected()}, body)
	}
	out, s = nativeA.sealTarget(use, echo, slot, target)
	puregoOut, puregoS = puregoA.sealTarget(use, puregoEcho, slot, target)
	same("seal target", []any{out, s}, []any{puregoOut, puregoS}, target)
	return summary, puregoSummary
}

// rewritten is a body through a rewriter, in pieces.
func (d *draws) rewritten(r interface {
	rewrite(dst, chunk []byte) ([]byte, Status)
	end(dst []byte) ([]byte, Status)
}, body string) string {
	out, s := make([]byte, 0, d.below(40)), StatusOK
	for most := one(d, 1, 7, 100, 10000); body != "" && s == StatusOK; {
		n := min(len(body), 1+d.below(most))
		out, s = r.rewrite(out, []byte(body[:n]))
		body = body[n:]
	}
	if s == StatusOK {
		out, s = r.end(out)
	}
	d.same("rewritten", s, StatusOK)
	return string(out)
}

func compareRings(d *draws) {
	keys := d.goodRing()
	n, err := newNativeIDRing(keys, nil)
	p, puregoErr := newPuregoIDRing(keys, nil)
	d.same("ring", err, puregoErr, keys)
	scope, owner, pin := d.scope(), one(d, "", "", "alice", strings.Repeat("o", 4096), strings.Repeat("o", 4097)), d.u64()
	text := d.nativeID()
	for range 4 {
		if d.flag() {
			text = d.damaged(text)
		}
		if d.rarely() {
			text = one(d, "", text+strings.Repeat("x", 200), text+"tp"+string('0'+d.byte()%10), text+strings.Repeat("A", 230))
		}
		sealed, s := n.sealID(make([]byte, 1, 1+d.below(99)), scope, owner, pin, text)
		puregoSealed, puregoS := p.sealID([]byte{0}, scope, owner, pin, text)
		d.same("seal", []any{string(sealed), s}, []any{string(puregoSealed), puregoS}, scope, owner, pin, text)
		native, opened, s := n.openID(make([]byte, 1, 1+d.below(99)), scope, owner, text)
		puregoNative, puregoOpened, puregoS := p.openID([]byte{0}, scope, owner, text)
		d.same("open", []any{string(native), opened, s},
			[]any{string(puregoNative), puregoOpened, puregoS}, scope, owner, text)
		mark, s := n.markContent(make([]byte, 1, 1+d.below(99)), scope, owner, pin, text)
		puregoMark, puregoS := p.markContent([]byte{0}, scope, owner, pin, text)
		d.same("mark", []any{string(mark), s}, []any{string(puregoMark), puregoS}, scope, owner, pin, text)
		length, verdict, pin, s := n.openMark(scope, owner, text)
		puregoLength, puregoVerdict, puregoPin, puregoS := p.openMark(scope, owner, text)
		d.same("open mark", []any{length, verdict, pin, s},
			[]any{puregoLength, puregoVerdict, puregoPin, puregoS}, scope, owner, text)
		text = one(d, text, string(sealed[1:]), text+string(mark[1:]), string(sealed[1:])+string(mark[1:]))
	}
}

// compareBodies opens and seals with its own configuration for each mode.
func compareBodies(d *draws) {
	config := idConfig(Mode(d.below(4)))
	config.IDs.Fields, config.IDs.ForeignSeals = ownFields, ForeignSeals(d.below(3))
	nativeA, puregoA := must(newNativeAffinity(config)), must(newPuregoAffinity(config))
	r := testRequest()
	puregoR := *r
	for range 4 {
		r.IDs, puregoR.IDs = compareIDs(d, config, nativeA, puregoA, r)
		var decision, puregoDecision Decision
		d.same("decide", nativeA.decide(r, &decision), puregoA.decide(&puregoR, &puregoDecision))
		d.same("decide",
			[]any{decision.Slot, decision.Source, decision.IDKeys},
			[]any{puregoDecision.Slot, puregoDecision.Source, puregoDecision.IDKeys})
	}
}

func TestBodiesAgainstPureGo(t *testing.T) { random(t, 1000, compareBodies) }
func FuzzBodies(f *testing.F)              { fuzz(f, compareBodies) }

func TestRingsAgainstPureGo(t *testing.T) { random(t, 5000, compareRings) }
func FuzzRings(f *testing.F)              { fuzz(f, compareRings) }

func TestSelectionAgainstPureGo(t *testing.T) { random(t, 2000, compareSelection) }
func TestDrawsAgainstPureGo(t *testing.T)     { random(t, 20000, compareDraws) }
func TestCookiesAgainstPureGo(t *testing.T)   { random(t, 5000, compareCookies) }
func TestDecisionsAgainstPureGo(t *testing.T) { random(t, 1500, compareDecisions) }

func FuzzSelection(f *testing.F) { fuzz(f, compareSelection) }
func FuzzCookies(f *testing.F)   { fuzz(f, compareCookies) }
func FuzzDecisions(f *testing.F) { fuzz(f, compareDecisions) }

// FuzzFields gives the fuzzer field and name themselves.
func FuzzFields(f *testing.F) {
	f.Add("theme=dark; pin=x", "pin", []byte{})
	f.Fuzz(func(t *testing.T, field, name string, data []byte) { compareFields(&draws{data, t}, field, name) })
}
