//! What we answer ourselves, and what cannot be answered.
//!
//! Owns: from a refusal to a response in the outbox, or to the reason why there is none. The bytes are written elsewhere.

use super::{
    Answer, Cause, DropReason, FieldName, Head, Method, ParseError, Refusal, SealKey, Target,
    TransactionFields, Turn, Verdict, Via, phrase, target,
};

impl Turn<'_> {
    /// A token that is bad, foreign or expired: never a guess.
    pub(super) fn bad_token(&mut self, head: &Head<'_>) -> Verdict {
        match head.method {
            Method::Ack => Verdict::Drop(DropReason::AckTokenBad),
            _ if head.to.tag.is_empty() => self.refuse(Refusal::new(403, "Bad Flow Token")),
            _ => self.refuse(Refusal::new(481, "Dialog Does Not Exist")),
        }
    }

    /// An OPTIONS to the edge gets what an INVITE would (RFC 3261 11.2): whoever watches us sees that no call can pass.
    pub(super) fn own_options(&mut self) -> Verdict {
        if self.table.is_draining || !self.table.can_serve(self.peer.listener) {
            return self.unavailable();
        }
        let answer =
            Answer { tells_abilities: true, ..Answer::from(Refusal::new(200, phrase(200))) };
        self.answer(&answer, self.table.ring.newest())
    }

    pub(super) fn unavailable(&mut self) -> Verdict {
        let answer = Answer {
            retry_after_seconds: Some(self.table.limits.retry_after_seconds),
            ..Answer::from(Refusal::new(503, phrase(503)))
        };
        self.answer(&answer, self.table.ring.newest())
    }

    pub(super) fn broken_request(&mut self, error: ParseError) -> Verdict {
        if self.received.is_cut() {
            return self.refuse(Refusal::new(513, "Message Too Large"));
        }
        self.refuse(match error {
            // RFC 3261 8.2.6.2: an answer carries every Via, and here they were not all read.
            ParseError::TooManyFields => return Verdict::Drop(DropReason::RequestUnanswerable),
            ParseError::NoEndOfFields => Refusal::new(400, "Header Does Not End"),
            ParseError::BadField(_) => Refusal::new(400, "Bad Header Field"),
            ParseError::StrayByte => Refusal::new(400, "CR Without LF Or NUL"),
            _ => Refusal::new(400, "Bad Request Line"),
        })
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) -> Verdict {
        self.refuse_by(refusal, self.table.ring.newest())
    }

    /// With the To tag that this key makes: an answer that is given again has to be the same.
    pub(super) fn refuse_by(&mut self, refusal: Refusal, key: &SealKey) -> Verdict {
        self.answer(&Answer::from(refusal), key)
    }

    fn answer(&mut self, answer: &Answer, key: &SealKey) -> Verdict {
        self.outbox.decision.cause = Cause::Own;
        self.outbox.edits.clear();
        if self.is_ack() {
            return Verdict::Drop(DropReason::AckUnroutable);
        }
        let via = match self.message.vias().next() {
            Some(Ok(via)) => Some(via),
            Some(Err(_)) => self.message.rough_via(),
            None => None,
        };
        let Some(via) = via else {
            let reason = if self.received.is_cut() {
                DropReason::ReceiveTruncated
            } else {
                DropReason::RequestUnanswerable
            };
            return Verdict::Drop(reason);
        };
        let source = self.peer.address;
        let transaction = self.own_transaction(&via, key);
        answer.write(&mut self.outbox.answer, &self.message, &via, source, (key, transaction));
        self.outbox.is_answer = true;
        self.outbox.decision.status = answer.refusal.status;
        let destination = target(&via, source);
        let transmit = Target::datagram(self.peer.listener, destination);
        self.outbox.transmit = Some(transmit);
        if destination.port() == 0 {
            return Verdict::Drop(DropReason::ReplyUnroutable);
        }
        if self.outbox.answer.len() > transmit.bytes_max() {
            return Verdict::Drop(DropReason::Oversized);
        }
        Verdict::Respond
    }

    /// What our To tag is computed from: the same as for the ACK that follows, as far as the request can be read.
    fn own_transaction(&self, via: &Via, key: &SealKey) -> u64 {
        let from = self.message.name_addr(FieldName::From).map(|from| from.tag);
        let cseq = self.message.cseq();
        let fields = TransactionFields::new(
            &self.message,
            via,
            cseq.unwrap_or_default(),
            from.unwrap_or_default(),
        );
        fields.hash(key)
    }

    /// By the request line or, where that is broken, by CSeq.
    fn is_ack(&self) -> bool {
        self.outbox.decision.method == Method::Ack
            || self.message.value(FieldName::CSeq).ends_with(b"ACK")
    }
}
