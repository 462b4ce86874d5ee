package tokenpin

// Methods of an affinity that open and seal.

// work is what is done with one request and its response.
func (a *puregoAffinity) work(use *IDUse) (w idWork, s Status) {
	scope := use.Scope
	if scope == "" {
		scope = a.config.Scope
	}
	w = idWork{place: idPlace{&a.ids.ring, scope, use.Owner}, rules: &a.ids, mode: a.ids.mode, ids: use.IDs}
	if use.HasMode {
		w.mode = use.Mode
	}
	if !use.IDs.valid() || !w.mode.valid() {
		return w, ErrBadEnum
	}
	return w, w.place.check()
}

func (a *puregoAffinity) opening(use *IDUse, summary *puregoSummary) (idWork, Status) {
	w, s := a.work(use)
	w.summary, w.known = summary, a.index
	return w, s
}

func (a *puregoAffinity) sealing(use *IDUse, summary *puregoSummary, slot int32) (idWork, Status) {
	w, s := a.work(use)
	if s != StatusOK {
		return w, s
	}
	if slot < 0 || int(slot) >= len(a.slots) {
		return w, ErrSlotRange
	}
	if a.slots[slot].vacant() {
		return w, ErrVacant
	}
	w.sealing, w.pin, w.echo, w.upstream, w.origin = true, a.slots[slot].id, summary, use.Upstream, use.Origin
	return w, StatusOK
}

func (a *puregoAffinity) idOwner(r *Request) (string, Status) {
	if a.config.IDs.Owner == IDOwnerNone {
		return "", StatusOK
	}
	owner, _ := readKey(r.Consumers, r.ConsumerTrusted)
	return owner, StatusOK
}

func (a *puregoAffinity) idKey(number uint8) (string, Status) {
	if int(number) < len(a.ids.table.keys) {
		return a.ids.table.keys[number].Name, StatusOK
	}
	return "", ErrBadEnum
}

func (a *puregoAffinity) openTarget(use *IDUse, summary *IDSummary, target string) (string, Status) {
	w, s := a.opening(use, summary.pure())
	if s != StatusOK {
		return target, s
	}
	var buffer [1024]byte
	opened := w.openTarget(append(buffer[:0], target...))
	if string(opened) == target {
		return target, StatusOK
	}
	return string(opened), StatusOK
}

func (a *puregoAffinity) openInPlace(use *IDUse, summary *IDSummary, body []byte) (int, uint32, Status) {
	w, s := a.opening(use, summary.pure())
	if s != StatusOK {
		return len(body), 0, s
	}
	r := puregoRewriter{w, newPuregoBody(false)}
	opened, _ := r.rewrite(body[:0], body)
	opened, _ = r.end(opened)
	return len(opened), r.body.unexpected, StatusOK
}

func (a *puregoAffinity) sealTarget(use *IDUse, summary *IDSummary, slot int32, target string) (string, Status) {
	w, s := a.sealing(use, summary.pure(), slot)
	if s != StatusOK {
		return target, s
	}
	var buffer, out [1024]byte
	sealed := w.sealTarget(out[:0], append(buffer[:0], target...))
	if string(sealed) == target {
		return target, StatusOK
	}
	return string(sealed), StatusOK
}

// puregoRewriter is a body on its way, with what is done to it.
type puregoRewriter struct {
	work idWork
	body puregoBody
}

func (r *puregoRewriter) open(a *puregoAffinity, use *IDUse, summary *IDSummary) (s Status) {
	r.body = newPuregoBody(false)
	r.work, s = a.opening(use, summary.pure())
	return s
}

func (r *puregoRewriter) seal(
	a *puregoAffinity, use *IDUse, summary *IDSummary, slot int32, framing Framing,
) (s Status) {
	if !framing.valid() {
		return ErrBadEnum
	}
	r.body = newPuregoBody(framing == FramingEvents)
	r.work, s = a.sealing(use, summary.pure(), slot)
	return s
}

func (r *puregoRewriter) rewrite(dst, chunk []byte) ([]byte, Status) {
	if r.work.passes() {
		return append(dst, chunk...), StatusOK
	}
	return r.body.rewrite(&r.work, dst, chunk), StatusOK
}

func (r *puregoRewriter) end(dst []byte) ([]byte, Status) {
	r.body.endMark()
	return r.body.end(dst), StatusOK
}

func (r *puregoRewriter) changed() uint32    { return r.body.changed }
func (r *puregoRewriter) unexpected() uint32 { return r.body.unexpected }
