//! The rules: what each operation needs and does. `docs/ledger.md` tells them in words.

use quorate_pbft::request::ClientKey;
use quorate_verifier::primitives::TimeMs;
use quorate_verifier::signature::{Signature, VoteKey, verify_strict};

use super::entry::{Account, ClientRecord, Entry, Instrument};
use super::names::{AccountId, Amount, InstrumentId};
use super::operation::{
    Body, Consent, DECIMALS_MAX, KEYS_PER_ACCOUNT, KeyBytes, Kind, Operation, Right, Trade,
};
use super::outcome::{Assignment, Effect, Reason, Rejection};
use super::state::{Draft, give, take};

/// What the rules know beside the state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// Time of the block.
    pub(super) now: TimeMs,
    /// Key of the request.
    pub(super) client: ClientKey,
    /// Sequence of the request.
    pub(super) sequence: u64,
    /// Whether an earlier request of the block carried a change.
    pub(super) has_change: bool,
}

type Done = Result<Effect, Rejection>;

/// Checks the consents, then drafts what the operation does.
pub(super) fn execute(draft: &mut Draft<'_>, context: &Context, body: &Body) -> Done {
    authorise(draft, context, body)?;
    match &body.operation {
        Operation::OpenAccount { account, keys } => open(draft, *account, keys),
        Operation::AddKey { account, key } => add_key(draft, *account, *key),
        Operation::RemoveKey { account, key } => remove_key(draft, *account, *key),
        Operation::Define { instrument, kind } => define(draft, context.now, *instrument, *kind),
        Operation::Issue {
            instrument,
            account,
            amount,
        } => issue(draft, *instrument, *account, *amount),
        Operation::Redeem {
            instrument,
            account,
            amount,
        } => redeem(draft, *instrument, *account, *amount),
        Operation::Transfer {
            instrument,
            from,
            to,
            amount,
        } => transfer(draft, context, *instrument, (*from, *to), *amount),
        Operation::Settle(trade) => settle(draft, context, trade),
        Operation::Write {
            account,
            instrument,
            quantity,
        } => write(draft, context, *account, *instrument, *quantity),
        Operation::Close {
            account,
            instrument,
            quantity,
        } => close(draft, *account, *instrument, *quantity),
        Operation::Exercise {
            account,
            instrument,
            quantity,
        } => exercise(draft, context, *account, *instrument, *quantity),
        Operation::Expire { instrument } => expire(draft, context, *instrument),
        Operation::Change {
            validators,
            parameters,
            ..
        } => match (validators, parameters) {
            _ if context.has_change => Err(Reason::SecondChange.into()),
            (None, None) => Err(Reason::EmptyChange.into()),
            _ => Ok(Effect::HandedOn),
        },
    }
}

/// Accounts whose consent an operation needs.
fn needed(
    draft: &Draft<'_>,
    carrier: AccountId,
    operation: &Operation,
) -> Result<Vec<AccountId>, Rejection> {
    let operator = draft.meta()?.operator;
    let issuer = |instrument: &InstrumentId| match draft.instrument(*instrument)?.kind {
        Kind::Money { issuer, .. } | Kind::Asset { issuer, .. } => Ok(issuer),
        Kind::Option(_) => Err(wrong_kind(*instrument)),
    };
    Ok(match operation {
        Operation::OpenAccount { .. } | Operation::Define { .. } | Operation::Change { .. } => {
            vec![operator]
        }
        Operation::AddKey { .. } | Operation::RemoveKey { .. } if carrier == operator => Vec::new(),
        Operation::AddKey { account, .. }
        | Operation::RemoveKey { account, .. }
        | Operation::Write { account, .. }
        | Operation::Close { account, .. }
        | Operation::Exercise { account, .. }
        | Operation::Transfer { from: account, .. } => vec![*account],
        Operation::Issue { instrument, .. } => vec![issuer(instrument)?],
        Operation::Redeem {
            instrument,
            account,
            ..
        } => vec![issuer(instrument)?, *account],
        Operation::Settle(trade) => vec![trade.seller, trade.buyer],
        Operation::Expire { .. } => Vec::new(),
    })
}

/// Every account that is asked has signed: by the request itself, or by one consent.
fn authorise(draft: &Draft<'_>, context: &Context, body: &Body) -> Result<(), Rejection> {
    let Context {
        client, sequence, ..
    } = context;
    let carrier = draft.client(client).and_then(|c| c.account);
    let carrier = carrier.ok_or(Reason::UnknownClient)?;
    let mut missing = needed(draft, carrier, &body.operation)?;
    for account in &missing {
        draft.account(*account)?;
    }
    missing.retain(|account| *account != carrier);
    for consent in &body.consents {
        let record = draft.client(&ClientKey(consent.key.0));
        let (key, account) = record
            .and_then(|r| Some((&r.key, r.account?)))
            .ok_or(Reason::ConsentUnneeded)?;
        if !missing.contains(&account) {
            return Err(Rejection::new(Reason::ConsentUnneeded).account(account));
        }
        let chain = &draft.meta()?.chain;
        let bytes = Consent::signed_bytes(chain, client, *sequence, &body.operation);
        let signature = Signature::from_bytes(consent.signature.0);
        if verify_strict(key, &bytes, &signature).is_err() {
            return Err(Rejection::new(Reason::ConsentSignature).account(account));
        }
        missing.retain(|other| *other != account);
    }
    match missing.first() {
        Some(account) => Err(Rejection::new(Reason::Unauthorised).account(*account)),
        None => Ok(()),
    }
}

/// Opens an account.
pub(super) fn open(draft: &mut Draft<'_>, account: AccountId, keys: &[KeyBytes]) -> Done {
    if draft.account(account).is_ok() {
        return Err(Rejection::new(Reason::AccountExists).account(account));
    }
    if keys.is_empty() {
        return Err(Rejection::new(Reason::LastKey).account(account));
    }
    let keys_of = Account {
        account,
        keys: Vec::new(),
    };
    draft.put(Entry::Account(keys_of))?;
    keys.iter()
        .try_for_each(|key| attach(draft, account, *key))?;
    Ok(Effect::AsAsked)
}

/// Lets a key act for an account. A key that was removed goes on from its last sequence.
pub(super) fn attach(
    draft: &mut Draft<'_>,
    account: AccountId,
    key: KeyBytes,
) -> Result<(), Rejection> {
    let about = |reason| Rejection::new(reason).account(account);
    let record = match draft.client(&ClientKey(key.0)) {
        Some(ClientRecord {
            account: Some(owner),
            ..
        }) => return Err(Rejection::new(Reason::KeyTaken).account(*owner)),
        Some(removed) => ClientRecord {
            account: Some(account),
            ..removed.clone()
        },
        None => ClientRecord {
            key: VoteKey::from_bytes(&key.0).map_err(|_| about(Reason::KeyInvalid))?,
            account: Some(account),
            sequence: 0,
        },
    };
    let mut entry = draft.account(account)?.clone();
    if entry.keys.len() >= KEYS_PER_ACCOUNT {
        return Err(about(Reason::TooManyKeys));
    }
    let place = entry.keys.partition_point(|other| *other < key);
    entry.keys.insert(place, key);
    draft.put(Entry::Account(entry))?;
    draft.put(Entry::Client(record))
}

fn add_key(draft: &mut Draft<'_>, account: AccountId, key: KeyBytes) -> Done {
    attach(draft, account, key)?;
    Ok(Effect::AsAsked)
}

fn remove_key(draft: &mut Draft<'_>, account: AccountId, key: KeyBytes) -> Done {
    let mut entry = draft.account(account)?.clone();
    let about = |reason| Rejection::new(reason).account(account);
    let place = entry.keys.binary_search(&key);
    let place = place.map_err(|_| about(Reason::KeyUnknown))?;
    if entry.keys.len() == 1 {
        return Err(about(Reason::LastKey));
    }
    entry.keys.remove(place);
    let record = draft.client(&ClientKey(key.0)).cloned();
    let record = record.ok_or_else(|| about(Reason::KeyUnknown))?;
    draft.put(Entry::Account(entry))?;
    draft.put(Entry::Client(ClientRecord {
        account: None,
        ..record
    }))?;
    Ok(Effect::AsAsked)
}

/// Lists an instrument.
pub(super) fn define(
    draft: &mut Draft<'_>,
    now: TimeMs,
    instrument: InstrumentId,
    kind: Kind,
) -> Done {
    let about = |reason| Rejection::new(reason).instrument(instrument);
    if draft.instrument(instrument).is_ok() {
        return Err(about(Reason::InstrumentExists));
    }
    match &kind {
        Kind::Money { issuer, decimals } | Kind::Asset { issuer, decimals } => {
            draft.account(*issuer)?;
            if *decimals > DECIMALS_MAX {
                return Err(about(Reason::Decimals));
            }
        }
        Kind::Option(terms) => {
            if !matches!(draft.instrument(terms.underlying)?.kind, Kind::Asset { .. }) {
                return Err(wrong_kind(terms.underlying));
            }
            is_money(draft, terms.currency)?;
            above_zero(terms.lot)?;
            let price = terms.price(Amount::new(1).expect("small"));
            above_zero(price.ok_or_else(|| about(Reason::Overflow))?)?;
            if now >= terms.expiry {
                return Err(about(Reason::Expired));
            }
        }
    }
    draft.put(Entry::Instrument(Instrument {
        instrument,
        kind,
        supply: Amount::ZERO,
        assigned: None,
        ended: false,
    }))?;
    Ok(Effect::AsAsked)
}

/// Makes units of money or of an asset.
pub(super) fn issue(
    draft: &mut Draft<'_>,
    instrument: InstrumentId,
    account: AccountId,
    amount: Amount,
) -> Done {
    above_zero(amount)?;
    draft.account(account)?;
    let mut entry = draft.instrument(instrument)?;
    if entry.terms().is_some() {
        return Err(wrong_kind(instrument));
    }
    let supply = entry.supply.checked_add(amount);
    entry.supply = supply.ok_or(Rejection::new(Reason::Overflow).instrument(instrument))?;
    draft.put(Entry::Instrument(entry))?;
    draft.credit(account, instrument, amount)?;
    Ok(Effect::AsAsked)
}

fn redeem(
    draft: &mut Draft<'_>,
    instrument: InstrumentId,
    account: AccountId,
    amount: Amount,
) -> Done {
    above_zero(amount)?;
    draft.debit(account, instrument, amount)?;
    let mut entry = draft.instrument(instrument)?;
    entry.supply = entry
        .supply
        .checked_sub(amount)
        .expect("the supply is the sum of all holdings");
    draft.put(Entry::Instrument(entry))?;
    Ok(Effect::AsAsked)
}

fn transfer(
    draft: &mut Draft<'_>,
    context: &Context,
    instrument: InstrumentId,
    (from, to): (AccountId, AccountId),
    amount: Amount,
) -> Done {
    above_zero(amount)?;
    tradeable(draft, context, instrument)?;
    deliver(draft, instrument, from, to, amount)?;
    Ok(Effect::AsAsked)
}

fn settle(draft: &mut Draft<'_>, context: &Context, trade: &Trade) -> Done {
    above_zero(trade.quantity)?;
    above_zero(trade.cash)?;
    if context.now >= trade.valid_until {
        return Err(Reason::Late.into());
    }
    tradeable(draft, context, trade.instrument)?;
    is_money(draft, trade.currency)?;
    if trade.currency == trade.instrument {
        return Err(wrong_kind(trade.instrument));
    }
    let Trade { seller, buyer, .. } = *trade;
    deliver(draft, trade.instrument, seller, buyer, trade.quantity)?;
    deliver(draft, trade.currency, buyer, seller, trade.cash)?;
    Ok(Effect::AsAsked)
}

fn write(
    draft: &mut Draft<'_>,
    context: &Context,
    account: AccountId,
    instrument: InstrumentId,
    quantity: Amount,
) -> Done {
    above_zero(quantity)?;
    tradeable(draft, context, instrument)?;
    let mut series = draft.instrument(instrument)?;
    draft.lock(account, cover(&series, quantity)?)?;
    let mut holding = draft.holding(account, instrument);
    holding.free = give(&holding, holding.free, quantity)?;
    holding.written = give(&holding, holding.written, quantity)?;
    draft.put_holding(holding)?;
    series.supply = give(&holding, series.supply, quantity)?;
    draft.put(Entry::Instrument(series))?;
    Ok(Effect::AsAsked)
}

fn close(
    draft: &mut Draft<'_>,
    account: AccountId,
    instrument: InstrumentId,
    quantity: Amount,
) -> Done {
    above_zero(quantity)?;
    let mut series = draft.instrument(instrument)?;
    let freed = cover(&series, quantity)?;
    let mut holding = draft.holding(account, instrument);
    holding.free = take(&holding, holding.free, quantity)?;
    holding.written = take(&holding, holding.written, quantity)?;
    draft.put_holding(holding)?;
    draft.unlock(account, freed)?;
    series.supply = take(&holding, series.supply, quantity)?;
    draft.put(Entry::Instrument(series))?;
    Ok(Effect::AsAsked)
}

/// Physical delivery, American style: writers are assigned in the order of their names, starting
/// after the one who was assigned last, each with all that it has written, until the quantity is
/// reached. The holder pays or delivers to each exactly what the contracts say, and gets the cover.
fn exercise(
    draft: &mut Draft<'_>,
    context: &Context,
    account: AccountId,
    instrument: InstrumentId,
    quantity: Amount,
) -> Done {
    above_zero(quantity)?;
    tradeable(draft, context, instrument)?;
    let mut series = draft.instrument(instrument)?;
    let terms = *series.terms().ok_or_else(|| wrong_kind(instrument))?;
    draft.debit(account, instrument, quantity)?;
    let (mut left, mut assigned) = (quantity, Vec::new());
    for writer in draft.state().writers(instrument, series.assigned) {
        let mut holding = draft.holding(writer, instrument);
        let share = holding.written.min(left);
        if share.is_zero() {
            continue;
        }
        holding.written = take(&holding, holding.written, share)?;
        draft.put_holding(holding)?;
        let (covering, units) = cover(&series, share)?;
        draft.take_cover(writer, (covering, units))?;
        let paid = match terms.right {
            Right::Call => (terms.currency, terms.price(share)),
            Right::Put => (terms.underlying, terms.lot.checked_mul(share)),
        };
        let overflow = || Rejection::new(Reason::Overflow).instrument(instrument);
        let due = paid.1.ok_or_else(overflow)?;
        draft.debit(account, paid.0, due)?;
        draft.credit(writer, paid.0, due)?;
        draft.credit(account, covering, units)?;
        series.assigned = Some(writer);
        assigned.push(Assignment {
            writer,
            quantity: share,
        });
        left = left.checked_sub(share).expect("the share is part of it");
        if left.is_zero() {
            break;
        }
    }
    assert!(left.is_zero(), "as many contracts are written as are held");
    let supply = series.supply.checked_sub(quantity);
    series.supply = supply.expect("the supply is the sum of all holdings");
    draft.put(Entry::Instrument(series))?;
    Ok(Effect::Assigned(assigned))
}

fn expire(draft: &mut Draft<'_>, context: &Context, instrument: InstrumentId) -> Done {
    let mut series = draft.instrument(instrument)?;
    let about = |reason| Rejection::new(reason).instrument(instrument);
    let terms = *series.terms().ok_or_else(|| wrong_kind(instrument))?;
    if series.ended {
        return Err(about(Reason::Ended));
    }
    if context.now < terms.expiry {
        return Err(about(Reason::NotExpired));
    }
    for account in draft.state().holders(instrument) {
        let mut holding = draft.holding(account, instrument);
        let written = std::mem::take(&mut holding.written);
        holding.free = Amount::ZERO;
        draft.put_holding(holding)?;
        if !written.is_zero() {
            draft.unlock(account, cover(&series, written)?)?;
        }
    }
    let ended = std::mem::take(&mut series.supply);
    series.ended = true;
    draft.put(Entry::Instrument(series))?;
    Ok(Effect::Expired(ended))
}

fn deliver(
    draft: &mut Draft<'_>,
    instrument: InstrumentId,
    from: AccountId,
    to: AccountId,
    amount: Amount,
) -> Result<(), Rejection> {
    if from == to {
        return Err(Rejection::new(Reason::SameAccount).account(from));
    }
    draft.account(to)?;
    draft.debit(from, instrument, amount)?;
    draft.credit(to, instrument, amount)
}

/// The instrument exists and, if it is an option, lives.
fn tradeable(
    draft: &Draft<'_>,
    context: &Context,
    instrument: InstrumentId,
) -> Result<(), Rejection> {
    let entry = draft.instrument(instrument)?;
    let about = |reason| Rejection::new(reason).instrument(instrument);
    match entry.terms() {
        _ if entry.ended => Err(about(Reason::Ended)),
        Some(terms) if context.now >= terms.expiry => Err(about(Reason::Expired)),
        _ => Ok(()),
    }
}

fn is_money(draft: &Draft<'_>, instrument: InstrumentId) -> Result<(), Rejection> {
    match draft.instrument(instrument)?.kind {
        Kind::Money { .. } => Ok(()),
        _ => Err(wrong_kind(instrument)),
    }
}

fn cover(series: &Instrument, contracts: Amount) -> Result<(InstrumentId, Amount), Rejection> {
    let terms = series
        .terms()
        .ok_or_else(|| wrong_kind(series.instrument))?;
    let overflow = Rejection::new(Reason::Overflow).instrument(series.instrument);
    terms.cover(contracts).ok_or(overflow)
}

fn wrong_kind(instrument: InstrumentId) -> Rejection {
    Rejection::new(Reason::WrongKind).instrument(instrument)
}

fn above_zero(amount: Amount) -> Result<(), Rejection> {
    if amount.is_zero() {
        Err(Reason::Zero.into())
    } else {
        Ok(())
    }
}
