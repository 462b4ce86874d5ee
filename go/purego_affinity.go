package tokenpin

import (
	"encoding/binary"
	"math"
	"runtime"
	"slices"
)

// puregoAffinity is an affinity in pure Go.
type puregoAffinity struct {
	config       Config // without secrets and lists
	placementKey *sipKey
	ring         puregoRing
	slots        puregoSlots
	index        map[uint64]int32 // from the identity hash to the slot
	occupied     int
	limits       Limits
	name         string // of the configured scope
	rules        []Rule
	ids          idRules
	configured   uint64 // the fingerprint
}

// puregoSecrets is what is wiped when an affinity is out of reach.
type puregoSecrets struct {
	placementKey sipKey
	keys         [MaxCookieKeys]ringKey
	idKeys       [MaxCookieKeys]idKey
}

func newPuregoAffinity(config *Config) (*puregoAffinity, error) {
	secrets := new(puregoSecrets)
	a := &puregoAffinity{config: *config, placementKey: &secrets.placementKey, ring: puregoRing{&secrets.keys}}
	a.ids.ring.keys = &secrets.idKeys
	// Parts that hold secrets, or that the caller may change.
	a.config.PlacementKey, a.config.CookieKeys, a.config.Slots, a.config.Rules = Secret{}, nil, nil, nil
	a.config.IDs.Keys, a.config.IDs.Fields = nil, IDFields{}
	if err := a.init(config); err != nil {
		return nil, err
	}
	runtime.AddCleanup(a, func(secrets *puregoSecrets) { *secrets = puregoSecrets{} }, secrets)
	return a, nil
}

func (a *puregoAffinity) init(c *Config) error {
	refused := func(s Status, field Field, index int) error { return &ConfigError{s, field, index} }
	switch {
	case !c.Strategy.valid():
		return refused(ErrBadEnum, FieldStrategy, 0)
	case !c.PolicyExisting.valid():
		return refused(ErrBadEnum, FieldPolicyExisting, 0)
	case !c.PolicyNew.valid():
		return refused(ErrBadEnum, FieldPolicyNew, 0)
	case !c.IDs.Mode.valid():
		return refused(ErrBadEnum, FieldIDMode, 0)
	case !c.IDs.Owner.valid():
		return refused(ErrBadEnum, FieldIDOwner, 0)
	case !c.IDs.ForeignSeals.valid():
		return refused(ErrBadEnum, FieldForeignSeals, 0)
	case c.PlacementKey == Secret{}:
		return refused(ErrZeroSecret, FieldPlacementKey, 0)
	case len(c.Scope) > MaxScope:
		return refused(ErrScopeLength, FieldScope, 0)
	case c.CookieName != "" && !isCookieName(c.CookieName):
		return refused(ErrCookieName, FieldCookieName, 0)
	case c.MaxAge != MaxAgeAuto && c.MaxAge > MaxMaxAge:
		return refused(ErrMaxAge, FieldMaxAge, 0)
	case c.SuccessFirst < 100 || c.SuccessLast > 599 || c.SuccessFirst > c.SuccessLast:
		return refused(ErrSuccessRange, FieldSuccess, 0)
	case len(c.Slots) == 0 || len(c.Slots) > MaxBuckets:
		return refused(ErrSlotCount, FieldSlots, 0)
	}
	a.name = c.CookieName
	if a.name == "" {
		a.name = puregoDefaultName(c.Scope)
	}
	if s, field := c.Attributes.check(a.name); s != StatusOK {
		return refused(s, field, 0)
	}
	for i := range c.Rules {
		if s := c.Rules[i].check(); s != StatusOK {
			return refused(s, FieldRules, i)
		}
	}
	a.rules = tableOf(c.Rules, c.ReplaceRules)
	if err := a.ring.init(c.CookieKeys, &c.PlacementKey); err != nil {
		return err
	}
	if err := a.ids.init(c); err != nil {
		return err
	}
	*a.placementKey = newSipKey((*[16]byte)(&c.PlacementKey))
	slots, err := newPuregoSlots(c.Slots)
	if err != nil {
		return err
	}
	a.slots, a.index = slots, make(map[uint64]int32, len(slots))
	for i := range slots {
		if slots[i].vacant() {
			continue
		}
		if _, known := a.index[slots[i].id]; known {
			return refused(ErrDuplicateIdentity, FieldSlots, i)
		}
		a.index[slots[i].id] = int32(i)
		a.occupied++
	}
	a.limits = Limits{c.Skew, c.MaxLife, c.MaxIdle, a.refreshInterval()}
	a.configured = a.configFingerprint()
	return nil
}

func (a *puregoAffinity) refreshInterval() uint32 {
	c := &a.config
	auto := c.MaxAge == MaxAgeAuto
	switch {
	case !auto && c.MaxAge != 0 && c.MaxIdle != 0:
		return min(c.MaxAge, c.MaxIdle)
	case !auto && c.MaxAge != 0:
		return c.MaxAge
	case c.MaxIdle != 0:
		return c.MaxIdle
	case auto && (c.MaxLife == 0 || c.MaxLife > MaxMaxAge):
		return MaxMaxAge
	}
	return 0
}

func flag(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}

func (a *puregoAffinity) configFingerprint() uint64 {
	c := &a.config
	s := newSip(*a.placementKey, 2, 4)
	s.text("tokenpin.v1.conf")
	s.u8(uint8(c.Strategy))
	s.u8(flag(c.CombineKeys))
	s.u64(uint64(len(a.slots)))
	for i := range a.slots {
		s.u8(flag(a.slots[i].vacant()))
		s.u64(a.slots[i].id)
	}
	s.counted(c.Scope)
	s.u8(flag(c.CookieName != ""))
	s.counted(a.name)
	for id := range 256 {
		if k := a.ring.find(uint8(id)); k != nil {
			s.u8(uint8(id))
			check := newSip(k.mac, 2, 4)
			check.text("tokenpin.v1.conf")
			s.u64(check.sum64())
		}
	}
	s.u8(uint8(c.IDs.Owner))
	for id := range 256 {
		if k := a.ids.ring.find(uint8(id)); k != nil {
			s.u8(uint8(id))
			check := newSip(k.seal, 2, 4)
			check.text("tokenpin.v1.conf")
			s.u64(check.sum64())
		}
	}
	return s.sum64()
}

func (a *puregoAffinity) fingerprint() uint64 { return a.configured }

func (a *puregoAffinity) liveFingerprint(now int64) uint64 {
	s := newSip(literalKey("tokenpin.v1.live"), 2, 4)
	for i := range a.slots {
		status := a.slots[i].status()
		s.u8(uint8(status.at(unix(now))))
		s.u32(status.Weight)
	}
	return s.sum64()
}

func (a *puregoAffinity) setSlot(slot int32, status *SlotStatus) Status {
	if !status.State.valid() {
		return ErrBadEnum
	}
	if slot < 0 || int(slot) >= len(a.slots) {
		return ErrSlotRange
	}
	return a.slots.setSlot(slot, status)
}

func (a *puregoAffinity) getSlot(slot int32) (SlotStatus, uint64, Status) {
	if slot < 0 || int(slot) >= len(a.slots) {
		return SlotStatus{}, 0, ErrSlotRange
	}
	return a.slots[slot].status(), a.slots[slot].id, StatusOK
}

func (a *puregoAffinity) find(identity string) (int32, Status) {
	if identity == "" {
		return NoSlot, ErrIdentityEmpty
	}
	return a.at(puregoIdentityHash(identity)), StatusOK
}

// at gives the slot with an identity hash.
func (a *puregoAffinity) at(pin uint64) int32 {
	if slot, ok := a.index[pin]; ok {
		return slot
	}
	return NoSlot
}

func (a *puregoAffinity) capacity() int { return len(a.slots) }

func (a *puregoAffinity) cookieName(scope string) (string, Status) {
	if len(scope) > MaxScope {
		return "", ErrScopeLength
	}
	name, _, _ := a.nameFor(scope)
	return name, StatusOK
}

func (a *puregoAffinity) idHint(of string) (hint [16]byte, s Status) {
	if of == "" || len(of) > MaxKey {
		return hint, ErrKeyLength
	}
	sip := sip128(derived(*a.placementKey, "tokenpin.v1.hint"))
	sip.text(of)
	low, high := sip.sum128()
	binary.LittleEndian.PutUint64(hint[:8], low)
	binary.LittleEndian.PutUint64(hint[8:], high)
	return hint, StatusOK
}

// nameFor gives the cookie's name for a request's scope, and its suffix where it follows that
// scope.
func (a *puregoAffinity) nameFor(scope string) (name string, suffix [4]byte, suffixed bool) {
	if a.config.CookieName != "" || scope == "" {
		return a.name, suffix, false
	}
	suffix = nameSuffix(scope)
	return suffixedName(suffix), suffix, true
}

// readKey is what rule 2 makes of a header's values.
func readKey(values []string, trusted bool) (string, KeyReason) {
	first, second := "", ""
	for _, value := range values {
		switch {
		case value == "":
		case first == "":
			first = value
		case value != first:
			second = value
		}
	}
	switch {
	case first == "":
		return "", KeyReasonAbsent
	case !trusted:
		return "", KeyReasonUntrusted
	case second != "":
		return "", KeyReasonSeveralValues
	case len(first) > MaxKey:
		return "", KeyReasonTooLong
	}
	return first, KeyReasonOK
}

// keyOf is rule 2. The key's kind is KindAnonymous if there is none.
func (a *puregoAffinity) keyOf(r *Request) (key Key, reason KeyReason) {
	consumer, consumerReason := readKey(r.Consumers, r.ConsumerTrusted)
	session, sessionReason := "", KeyReasonAbsent
	if a.config.CombineKeys || consumer == "" {
		session, sessionReason = readKey(r.Sessions, true)
	}
	switch {
	case consumer != "" && session != "":
		key = Key{KindCombined, consumer, session}
	case consumer != "":
		key = Key{Kind: KindConsumer, Key: consumer}
	case session != "":
		key = Key{Kind: KindSession, Key: session}
	}
	unusable := func(r KeyReason) bool { return r != KeyReasonOK && r != KeyReasonAbsent }
	switch {
	case unusable(consumerReason):
		reason = consumerReason
	case unusable(sessionReason):
		reason = sessionReason
	case key.Kind != KindAnonymous:
		reason = KeyReasonOK
	default:
		reason = KeyReasonAbsent
	}
	return key, reason
}

// reading is what the cookies of a request come to.
type reading struct {
	verdict        Verdict
	cookie         Cookie // if the verdict is VerdictValid or VerdictRefreshDue
	ambiguous      bool
	unknownVersion bool
}

// readCookies is rule 3.
func (a *puregoAffinity) readCookies(r *Request, name, scope string, key *Key, now uint64) (found reading) {
	tags := maxTags
	look := func(value string) {
		var cookie Cookie
		verdict := a.ring.read(name, scope, key, &a.limits, now, value, &tags, &cookie)
		if verdict == VerdictUnknownVersion {
			found.unknownVersion = true
		}
		switch {
		case usable(verdict) && usable(found.verdict):
			found.ambiguous = found.ambiguous || cookie.ID != found.cookie.ID
			if cookie.IssuedAt < found.cookie.IssuedAt ||
				cookie.IssuedAt == found.cookie.IssuedAt && cookie.RefreshedAt > found.cookie.RefreshedAt {
				found.verdict, found.cookie = verdict, cookie
			}
		case usable(verdict):
			found.verdict, found.cookie = verdict, cookie
		case !usable(found.verdict) && rank(verdict) > rank(found.verdict):
			found.verdict = verdict
		}
	}
	if r.CarrierValue != "" {
		look(r.CarrierValue)
	}
	for _, field := range r.Cookies {
		for pair := range pairs(field) {
			if value, ok := valueIn(pair, name); ok {
				look(value)
			}
		}
	}
	return found
}

func (a *puregoAffinity) selectFor(key *Key, scope string, filter *puregoFilter) int32 {
	filter.anonymous = key.Kind == KindAnonymous
	hash := key.hash(*a.placementKey, scope)
	return a.slots.pick(a.config.Strategy, filter, hash, key)
}

func (a *puregoAffinity) decide(r *Request, d *Decision) Status {
	class, ids := Class{Group: r.Group, Existing: reads(r.Method)}, r.IDs.pure()
	if !r.HasGroup {
		class = puregoClassify(a.rules, a.config.PromptCache, r.Method, r.Target)
	}
	if r.Existing || ids != nil && ids.existing {
		class.Group, class.Existing = GroupStateful, true
	}
	group, existing := class.Group, class.Existing
	s := a.rule(r, ids, group, existing, d)
	// The first half of rule 9.
	switch d.Outcome {
	case OutcomePlaced, OutcomeRetried, OutcomeRepinned:
		keepsCookies := r.Carrier || d.Verdict != VerdictAbsent
		found := ids != nil && ids.seals || d.hasCookie && keepsCookies
		d.MayMove = group != GroupStateful || !existing && found
	}
	return s
}

func (a *puregoAffinity) rule(r *Request, ids *puregoSummary, group Group, existing bool, d *Decision) Status {
	if r.HasGroup && !r.Group.valid() {
		return ErrBadEnum
	}
	if len(r.Scope) > MaxScope {
		return ErrScopeLength
	}
	for _, slot := range r.Tried {
		if slot < 0 || int(slot) >= len(a.slots) {
			return ErrSlotRange
		}
	}
	c := &a.config
	scope := r.Scope
	if scope == "" {
		scope = c.Scope
	}
	now := unix(r.Now)
	filter := &puregoFilter{now: now, tried: r.Tried, without: NoSlot}
	*d = Decision{fingerprint: a.configured, Slot: NoSlot, Outcome: OutcomeNone, KeyReason: KeyReasonAbsent,
		Existing: existing, IDKeys: [2]uint8{noIDKey, noIDKey}}
	noEntropy := r.Entropy == [16]byte{}

	// place is rule 7, and says whether there is a candidate.
	place := func(key *Key) bool {
		d.Slot = a.selectFor(key, scope, filter)
		switch {
		case d.Slot == NoSlot:
			d.RetryAfter = a.soonest(NoSlot, now)
			return false
		case len(r.Tried) > 0:
			d.Outcome = OutcomeRetried
		default:
			d.Outcome = OutcomePlaced
		}
		return true
	}

	// Rule 0.
	named, account := false, NoSlot
	if ids != nil {
		d.IDVerdict = ids.verdict
		if ids.refused || ids.unreadable {
			d.Source, d.Outcome, d.IDKeys = SourceID, OutcomeRejected, ids.report().Keys
			return StatusOK
		}
		if pin, key, ok := ids.account(); ok {
			account = a.at(pin)
			if named = account != NoSlot || key != noIDKey; named {
				d.Source, d.IDKeys[0], group = SourceID, key, GroupStateful
			}
		}
	}

	// Rule 1.
	if group == GroupStateless {
		if noEntropy {
			return ErrEntropy
		}
		d.Source = SourceStateless
		place(&Key{Kind: KindAnonymous, Key: string(r.Entropy[:])})
		return StatusOK
	}

	// Rule 2.
	var key *Key
	read, reason := a.keyOf(r)
	d.KeyReason = reason
	if read.Kind != KindAnonymous {
		key = &read
	}
	if c.RejectBadKeys && d.KeyReason != KeyReasonOK && d.KeyReason != KeyReasonAbsent && !named {
		d.Outcome = OutcomeRejected
		return StatusOK
	}
	switch {
	case named:
	case read.Kind == KindConsumer:
		d.Source = SourceConsumer
	case read.Kind == KindSession:
		d.Source = SourceSession
	case read.Kind == KindCombined:
		d.Source = SourceCombined
	}

	// Rule 3.
	name, suffix, suffixed := a.nameFor(r.Scope)
	found := a.readCookies(r, name, scope, key, now)
	d.Verdict, d.Ambiguous = found.verdict, found.ambiguous
	getsCookies := key == nil || c.KeyedCookies

	set := func(cookie *Cookie) Status {
		if now > math.MaxUint32 {
			return ErrTime
		}
		a.ring.write(name, scope, key, cookie, &d.value)
		d.hasCookie = true
		d.carrier = r.Carrier || r.CarrierValue != ""
		d.suffix, d.hasSuffix = suffix, suffixed
		d.maxAge = a.maxAge(since(now, uint64(cookie.IssuedAt)))
		return StatusOK
	}
	again := func(pin uint64) Status {
		cookie := found.cookie
		cookie.Pin = pin
		cookie.RefreshedAt = max(uint32(min(now, math.MaxUint32)), cookie.RefreshedAt, cookie.IssuedAt)
		return set(&cookie)
	}
	refresh := func() Status { // rule 8
		if found.verdict == VerdictRefreshDue && getsCookies {
			return again(found.cookie.Pin)
		}
		return StatusOK
	}
	// pinned is rule 4, of the slot p or none. It says whether p serves.
	pinned := func(p int32, k *Key) bool {
		state := StateVacant
		if p != NoSlot {
			state = a.slots[p].status().at(now)
		}
		switch state {
		case StateVacant:
			d.PinState = PinStateGone
		case StateDown:
			d.PinState = PinStateDown
		case StateDraining:
			d.PinState = PinStateDraining
		default:
			d.PinState = PinStateElsewhere
			if k != nil && a.selectFor(k, scope, filter) == p {
				d.PinState = PinStateHome
			}
		}
		if (state == StateUp || state == StateDraining) && !slices.Contains(r.Tried, p) {
			d.Slot, d.Outcome = p, OutcomePinned
			return true
		}
		return false
	}
	k := key
	if k == nil && usable(found.verdict) {
		k = &Key{Kind: KindAnonymous, Key: string(found.cookie.ID[:])}
	}

	// Rule 6: whether a cookie is issued to a session that has none, and with which id.
	mayIssue := group == GroupStateful && (a.occupied > 1 || c.MintSingle) && !found.unknownVersion
	newID := r.Entropy
	if key == nil && r.IDHint != nil {
		newID = *r.IDHint
	}
	issue := func() Status {
		kind := KindAnonymous
		if key != nil {
			kind = key.Kind
		}
		return set(&Cookie{Pin: a.slots[d.Slot].id, IssuedAt: uint32(min(now, math.MaxUint32)),
			RefreshedAt: uint32(min(now, math.MaxUint32)), ID: newID, Kind: kind})
	}

	// Rule 0, where an id names the account.
	if named {
		switch {
		case !pinned(account, k):
			d.Outcome = OutcomeRejected
			if account != NoSlot {
				d.RetryAfter, _ = a.slots[account].wait(now)
			}
			return StatusOK
		case usable(found.verdict) && a.at(found.cookie.Pin) == NoSlot && !existing && getsCookies:
			return again(a.slots[account].id)
		case usable(found.verdict):
			return refresh()
		case !mayIssue || !getsCookies:
			return StatusOK
		case newID == [16]byte{}:
			return ErrEntropy
		}
		return issue()
	}

	// Rule 4.
	if usable(found.verdict) {
		if key == nil {
			d.Source = SourceCookie
		}
		p := a.at(found.cookie.Pin)
		if pinned(p, k) {
			return refresh()
		}

		// Rule 5.
		policy := c.PolicyNew
		if existing {
			policy = c.PolicyExisting
		}
		if p == NoSlot {
			policy = PolicyFallbackAndUpdate
		}
		if policy == PolicyFailFast {
			d.Outcome = OutcomeRejected
			d.RetryAfter, _ = a.slots[p].wait(now)
			return StatusOK
		}
		filter.without = p
		d.Slot = a.selectFor(k, scope, filter)
		if d.Slot == NoSlot {
			d.RetryAfter = a.soonest(p, now)
			return StatusOK
		}
		if policy == PolicyFallbackAndUpdate && group == GroupStateful && !existing && getsCookies {
			d.Outcome = OutcomeRepinned
			return again(a.slots[d.Slot].id)
		}
		d.Outcome = OutcomeFallback
		return refresh()
	}

	// Rule 6.
	switch {
	case key != nil && mayIssue && c.KeyedCookies:
		if noEntropy {
			return ErrEntropy
		}
		if place(key) {
			return issue()
		}
	case key != nil:
		place(key)
	default:
		if newID == [16]byte{} {
			return ErrEntropy
		}
		if mayIssue {
			d.Source = SourceMinted
		}
		if place(&Key{Kind: KindAnonymous, Key: string(newID[:])}) && mayIssue {
			return issue()
		}
	}
	return StatusOK
}

// maxAge is Max-Age for a cookie of this age.
func (a *puregoAffinity) maxAge(age uint64) uint32 {
	c := &a.config
	if c.MaxAge != MaxAgeAuto {
		return c.MaxAge
	}
	least := uint32(MaxMaxAge)
	if c.MaxIdle != 0 {
		least = min(least, c.MaxIdle)
	}
	if c.MaxLife != 0 {
		least = min(least, max(1, uint32(since(uint64(c.MaxLife), age))))
	}
	return least
}

// soonest is the second half of rule 9: the least wait. pinned counts at any weight.
func (a *puregoAffinity) soonest(pinned int32, now uint64) uint32 {
	least, known := uint32(0), false
	for i := range a.slots {
		if int32(i) != pinned && a.slots[i].status().Weight == 0 {
			continue
		}
		if wait, ok := a.slots[i].wait(now); ok && (!known || wait < least) {
			least, known = wait, true
		}
	}
	return least
}

// wait is in how many seconds a slot can serve, if ever.
func (s *puregoSlot) wait(now uint64) (seconds uint32, ever bool) {
	status := s.status()
	switch state := status.at(now); {
	case state == StateVacant:
		return 0, false
	case state == StateUp || state == StateDraining:
		return 0, true
	case status.Until == 0:
		return 0, false
	}
	return uint32(min(uint64(status.Until)-now, math.MaxUint32)), true
}

// refusal is what rule 9 says of refusals.
func (purego) refusal(d *Decision) (Refusal, uint16) {
	ofID := d.Source == SourceID && (d.PinState == PinStateNone || d.PinState == PinStateGone)
	switch {
	case d.Slot != NoSlot:
		return RefusalNone, 200
	case d.Outcome != OutcomeRejected:
		return RefusalNoAccountAvailable, 503
	case ofID && d.IDVerdict == IDVerdictConflict:
		return RefusalConflictingAccounts, 400
	case ofID && d.IDKeys[0] == previousResponseKey:
		return RefusalPreviousResponseNotFound, 400
	case ofID && d.IDKeys[0] == encryptedKey:
		return RefusalInvalidEncryptedContent, 400
	case ofID && d.IDKeys[0] == noIDKey:
		return RefusalUnreadableBody, 400
	case ofID:
		return RefusalNotFound, 404
	case d.PinState == PinStateNone:
		return RefusalBadAffinityKey, 503
	}
	return RefusalSessionUnavailable, 503
}

// finish is rule 10.
func (a *puregoAffinity) finish(dst []byte, d *Decision, status uint16) ([]byte, Answer, Status) {
	switch {
	case d.fingerprint != a.configured:
		return dst, AnswerNothing, ErrStale
	case !d.hasCookie || status < a.config.SuccessFirst || status > a.config.SuccessLast:
		return dst, AnswerNothing, StatusOK
	case d.carrier:
		return append(dst, d.value[:]...), AnswerCarrier, StatusOK
	}
	name := a.name
	if d.hasSuffix {
		name = suffixedName(d.suffix)
	}
	return puregoSetCookie(dst, name, d.value[:], &a.config.Attributes, d.maxAge), AnswerSetCookie, StatusOK
}
