//! What a request may ask for, and who consents to it: the body of a request.

use std::fmt;
use std::marker::PhantomData;

use quorate_pbft::app::Change;
use quorate_pbft::limits::VOTES_MAX;
use quorate_pbft::request::ClientKey;
use quorate_verifier::encoding::{Canonical, DecodeError, Reader, write_length, write_list};
use quorate_verifier::genesis::Parameters;
use quorate_verifier::json;
use quorate_verifier::message::Tag;
use quorate_verifier::primitives::{Digest, TimeMs};
use quorate_verifier::set::SetCommitment;
use quorate_verifier::signature::Signature;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use super::names::{AccountId, Amount, InstrumentId};

/// Most keys of one account.
pub const KEYS_PER_ACCOUNT: usize = 8;
/// Most consents beside a request; no operation needs more.
pub const CONSENTS_MAX: usize = 2;
/// Largest number of decimals that an instrument is shown with.
pub const DECIMALS_MAX: u8 = 18;

/// Reads a list of at most `MAX` items: what JSON brings is bounded as what bytes bring.
pub(super) fn bounded<'de, const MAX: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Bounded<T, const MAX: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX} items")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = access.next_element()? {
                if items.len() == MAX {
                    return Err(de::Error::invalid_length(MAX + 1, &self));
                }
                items.push(item);
            }
            Ok(items)
        }
    }
    deserializer.deserialize_seq(Bounded::<T, MAX>(PhantomData))
}

/// An Ed25519 key as 32 bytes; in JSON lower-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyBytes(#[serde(with = "json::hex_bytes")] pub [u8; 32]);

/// A signature as 64 bytes; in JSON lower-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignatureBytes(#[serde(with = "json::hex_bytes")] pub [u8; 64]);

/// Call or put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Its holder may buy the underlying at the strike.
    Call,
    /// Its holder may sell the underlying at the strike.
    Put,
}

/// What one option contract is. One contract is on `lot` units of the underlying and costs
/// `strike · lot` units of the currency to exercise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionTerms {
    /// Call or put.
    pub right: Right,
    /// The asset that is delivered.
    pub underlying: InstrumentId,
    /// The money that is paid.
    pub currency: InstrumentId,
    /// Units of the currency for one unit of the underlying.
    pub strike: Amount,
    /// Units of the underlying in one contract.
    pub lot: Amount,
    /// From this block time on it cannot be written, traded or exercised.
    pub expiry: TimeMs,
}

/// What an instrument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kind {
    /// Money: pays for trades.
    Money {
        /// Who issues and redeems it.
        issuer: AccountId,
        /// How it is shown: 2 for cents.
        decimals: u8,
    },
    /// Something that may be delivered.
    Asset {
        /// Who issues and redeems it.
        issuer: AccountId,
        /// How it is shown.
        decimals: u8,
    },
    /// An option series.
    Option(OptionTerms),
}

/// A trade: delivery of an instrument against money, both or neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trade {
    /// What is delivered.
    pub instrument: InstrumentId,
    /// How much of it.
    pub quantity: Amount,
    /// Who delivers.
    pub seller: AccountId,
    /// Who pays.
    pub buyer: AccountId,
    /// The money.
    pub currency: InstrumentId,
    /// How much in all.
    pub cash: Amount,
    /// It settles in a block before this time or not at all.
    pub valid_until: TimeMs,
}

/// A validator's approval of a change: `docs/consensus.md#change`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its place in the set that signs the block.
    pub validator: u16,
    /// Of [`Change::signed_bytes`].
    pub signature: SignatureBytes,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// Opens an account. Operator.
    OpenAccount {
        /// A new name.
        account: AccountId,
        /// Its keys, at least one.
        #[serde(deserialize_with = "bounded::<KEYS_PER_ACCOUNT, _, _>")]
        keys: Vec<KeyBytes>,
    },
    /// Lets a key act for an account. The account or the operator.
    AddKey {
        /// The account.
        account: AccountId,
        /// A key that acts for none.
        key: KeyBytes,
    },
    /// Ends that. The account or the operator.
    RemoveKey {
        /// The account.
        account: AccountId,
        /// One of its keys, not the last.
        key: KeyBytes,
    },
    /// Lists an instrument. Operator.
    Define {
        /// A new name.
        instrument: InstrumentId,
        /// What it is.
        kind: Kind,
    },
    /// Makes units of money or of an asset. Its issuer.
    Issue {
        /// Money or an asset.
        instrument: InstrumentId,
        /// Who gets them.
        account: AccountId,
        /// How many.
        amount: Amount,
    },
    /// Takes units of money or of an asset back. Its issuer, and the account.
    Redeem {
        /// Money or an asset.
        instrument: InstrumentId,
        /// Who gives them.
        account: AccountId,
        /// How many.
        amount: Amount,
    },
    /// Moves units. The account that gives.
    Transfer {
        /// Anything: of an option, contracts that are held.
        instrument: InstrumentId,
        /// Who gives.
        from: AccountId,
        /// Who gets.
        to: AccountId,
        /// How many.
        amount: Amount,
    },
    /// Settles a trade. Seller and buyer.
    Settle(Trade),
    /// Writes options: locks what covers them, and makes contracts that the writer then holds.
    /// The account.
    Write {
        /// The writer.
        account: AccountId,
        /// The series.
        instrument: InstrumentId,
        /// Contracts.
        quantity: Amount,
    },
    /// Ends contracts that an account both holds and has written, and frees what covered them.
    /// The account.
    Close {
        /// The holder and writer.
        account: AccountId,
        /// The series.
        instrument: InstrumentId,
        /// Contracts.
        quantity: Amount,
    },
    /// Exercises contracts against their writers. The account.
    Exercise {
        /// The holder.
        account: AccountId,
        /// The series.
        instrument: InstrumentId,
        /// Contracts.
        quantity: Amount,
    },
    /// Ends a series whose expiry has come: contracts vanish, what covered them is free. Anybody.
    Expire {
        /// The series.
        instrument: InstrumentId,
    },
    /// Carries a change of validator set or parameters, which the validators approve by signing
    /// it: the ledger hands it on and does not judge it. Operator.
    Change {
        /// The new set, if it changes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validators: Option<SetCommitment>,
        /// The new parameters, if they change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parameters: Option<Parameters>,
        /// By strictly increasing place.
        #[serde(deserialize_with = "bounded::<VOTES_MAX, _, _>")]
        approvals: Vec<Approval>,
    },
}

/// A client's consent to an operation that another client's request carries, bound to that
/// request: so it takes effect once at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// A key of the account that consents.
    pub key: KeyBytes,
    /// Of [`Consent::signed_bytes`].
    pub signature: SignatureBytes,
}

impl Consent {
    /// What is signed: tag, chain (digest of the genesis header), key and sequence of the request
    /// that carries the operation, SHA-256 of the operation's canonical bytes.
    pub fn signed_bytes(
        chain: &Digest,
        client: &ClientKey,
        sequence: u64,
        operation: &Operation,
    ) -> Vec<u8> {
        let mut bytes = Tag::CONSENT.message(chain.as_bytes());
        bytes.extend_from_slice(&client.0);
        bytes.extend_from_slice(&sequence.to_le_bytes());
        bytes.extend_from_slice(&Sha256::digest(operation.to_bytes()));
        bytes
    }
}

/// The body of a request: an operation, and the consents of those who do not carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// What is asked for.
    pub operation: Operation,
    /// One for each account whose consent is needed and whose key is not the request's.
    pub consents: Vec<Consent>,
}

impl Operation {
    /// The word for it, as in JSON.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::OpenAccount { .. } => "open-account",
            Self::AddKey { .. } => "add-key",
            Self::RemoveKey { .. } => "remove-key",
            Self::Define { .. } => "define",
            Self::Issue { .. } => "issue",
            Self::Redeem { .. } => "redeem",
            Self::Transfer { .. } => "transfer",
            Self::Settle(_) => "settle",
            Self::Write { .. } => "write",
            Self::Close { .. } => "close",
            Self::Exercise { .. } => "exercise",
            Self::Expire { .. } => "expire",
            Self::Change { .. } => "change",
        }
    }

    /// The change that this operation carries, for the core to judge.
    pub fn change(&self, client: ClientKey, sequence: u64) -> Option<Change> {
        let Self::Change {
            validators,
            parameters,
            approvals,
        } = self
        else {
            return None;
        };
        let approval = |a: &Approval| (a.validator, Signature::from_bytes(a.signature.0));
        Some(Change {
            client,
            sequence,
            validators: *validators,
            parameters: parameters.clone(),
            approvals: approvals.iter().map(approval).collect(),
        })
    }
}

impl Canonical for KeyBytes {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array("key").map(Self)
    }
}

impl Canonical for SignatureBytes {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array("signature").map(Self)
    }
}

impl Canonical for OptionTerms {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(match self.right {
            Right::Call => 0,
            Right::Put => 1,
        });
        self.underlying.write(out);
        self.currency.write(out);
        self.strike.write(out);
        self.lot.write(out);
        self.expiry.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let right = if input.flag("right")? {
            Right::Put
        } else {
            Right::Call
        };
        Ok(Self {
            right,
            underlying: InstrumentId::read(input)?,
            currency: InstrumentId::read(input)?,
            strike: Amount::read(input)?,
            lot: Amount::read(input)?,
            expiry: TimeMs::read(input)?,
        })
    }
}

impl Canonical for Kind {
    fn write(&self, out: &mut Vec<u8>) {
        let issued = |out: &mut Vec<u8>, code: u8, issuer: &AccountId, decimals: u8| {
            out.push(code);
            issuer.write(out);
            out.push(decimals);
        };
        match self {
            Self::Money { issuer, decimals } => issued(out, 0, issuer, *decimals),
            Self::Asset { issuer, decimals } => issued(out, 1, issuer, *decimals),
            Self::Option(terms) => {
                out.push(2);
                terms.write(out);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = input.u8("kind of instrument")?;
        if code == 2 {
            return OptionTerms::read(input).map(Self::Option);
        }
        let issuer = AccountId::read(input)?;
        let decimals = input.u8("decimals")?;
        match code {
            0 => Ok(Self::Money { issuer, decimals }),
            1 => Ok(Self::Asset { issuer, decimals }),
            _ => Err(unknown("kind of instrument", code)),
        }
    }
}

impl Canonical for Trade {
    fn write(&self, out: &mut Vec<u8>) {
        self.instrument.write(out);
        self.quantity.write(out);
        self.seller.write(out);
        self.buyer.write(out);
        self.currency.write(out);
        self.cash.write(out);
        self.valid_until.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            instrument: InstrumentId::read(input)?,
            quantity: Amount::read(input)?,
            seller: AccountId::read(input)?,
            buyer: AccountId::read(input)?,
            currency: InstrumentId::read(input)?,
            cash: Amount::read(input)?,
            valid_until: TimeMs::read(input)?,
        })
    }
}

impl Canonical for Approval {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.validator.to_le_bytes());
        self.signature.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            validator: input.u16("validator")?,
            signature: SignatureBytes::read(input)?,
        })
    }
}

fn write_option<T: Canonical>(out: &mut Vec<u8>, value: Option<&T>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        value.write(out);
    }
}

fn read_option<T: Canonical>(
    input: &mut Reader<'_>,
    field: &'static str,
) -> Result<Option<T>, DecodeError> {
    input.flag(field)?.then(|| T::read(input)).transpose()
}

pub(super) fn unknown(field: &'static str, code: u8) -> DecodeError {
    DecodeError::rule(field, format_args!("code {code} is unknown"))
}

impl Canonical for Operation {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::OpenAccount { account, keys } => {
                out.push(0);
                account.write(out);
                write_list(out, keys);
            }
            Self::AddKey { account, key } => {
                out.push(1);
                account.write(out);
                key.write(out);
            }
            Self::RemoveKey { account, key } => {
                out.push(2);
                account.write(out);
                key.write(out);
            }
            Self::Define { instrument, kind } => {
                out.push(3);
                instrument.write(out);
                kind.write(out);
            }
            Self::Issue {
                instrument,
                account,
                amount,
            } => write_move(out, 4, instrument, &[account], *amount),
            Self::Redeem {
                instrument,
                account,
                amount,
            } => write_move(out, 5, instrument, &[account], *amount),
            Self::Transfer {
                instrument,
                from,
                to,
                amount,
            } => write_move(out, 6, instrument, &[from, to], *amount),
            Self::Settle(trade) => {
                out.push(7);
                trade.write(out);
            }
            Self::Write {
                account,
                instrument,
                quantity,
            } => write_move(out, 8, instrument, &[account], *quantity),
            Self::Close {
                account,
                instrument,
                quantity,
            } => write_move(out, 9, instrument, &[account], *quantity),
            Self::Exercise {
                account,
                instrument,
                quantity,
            } => write_move(out, 10, instrument, &[account], *quantity),
            Self::Expire { instrument } => {
                out.push(11);
                instrument.write(out);
            }
            Self::Change {
                validators,
                parameters,
                approvals,
            } => {
                out.push(12);
                write_option(out, validators.as_ref());
                write_option(out, parameters.as_ref());
                write_list(out, approvals);
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = input.u8("operation")?;
        Ok(match code {
            0 => Self::OpenAccount {
                account: AccountId::read(input)?,
                keys: input.list("keys", KEYS_PER_ACCOUNT, KeyBytes::read)?,
            },
            1 => Self::AddKey {
                account: AccountId::read(input)?,
                key: KeyBytes::read(input)?,
            },
            2 => Self::RemoveKey {
                account: AccountId::read(input)?,
                key: KeyBytes::read(input)?,
            },
            3 => Self::Define {
                instrument: InstrumentId::read(input)?,
                kind: Kind::read(input)?,
            },
            4 | 5 | 8 | 9 | 10 => {
                let instrument = InstrumentId::read(input)?;
                let account = AccountId::read(input)?;
                read_one_sided(code, instrument, account, Amount::read(input)?)
            }
            6 => Self::Transfer {
                instrument: InstrumentId::read(input)?,
                from: AccountId::read(input)?,
                to: AccountId::read(input)?,
                amount: Amount::read(input)?,
            },
            7 => Self::Settle(Trade::read(input)?),
            11 => Self::Expire {
                instrument: InstrumentId::read(input)?,
            },
            12 => Self::Change {
                validators: read_option(input, "validators")?,
                parameters: read_option(input, "parameters")?,
                approvals: input.list("approvals", VOTES_MAX, Approval::read)?,
            },
            _ => return Err(unknown("operation", code)),
        })
    }
}

fn write_move(
    out: &mut Vec<u8>,
    code: u8,
    instrument: &InstrumentId,
    accounts: &[&AccountId],
    amount: Amount,
) {
    out.push(code);
    instrument.write(out);
    for account in accounts {
        account.write(out);
    }
    amount.write(out);
}

/// The operations with one account and one amount.
fn read_one_sided(
    code: u8,
    instrument: InstrumentId,
    account: AccountId,
    amount: Amount,
) -> Operation {
    let quantity = amount;
    match code {
        4 => Operation::Issue {
            instrument,
            account,
            amount,
        },
        5 => Operation::Redeem {
            instrument,
            account,
            amount,
        },
        8 => Operation::Write {
            account,
            instrument,
            quantity,
        },
        9 => Operation::Close {
            account,
            instrument,
            quantity,
        },
        _ => Operation::Exercise {
            account,
            instrument,
            quantity,
        },
    }
}

impl Canonical for Consent {
    fn write(&self, out: &mut Vec<u8>) {
        self.key.write(out);
        self.signature.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: KeyBytes::read(input)?,
            signature: SignatureBytes::read(input)?,
        })
    }
}

impl Canonical for Body {
    fn write(&self, out: &mut Vec<u8>) {
        self.operation.write(out);
        write_length(out, self.consents.len());
        for consent in &self.consents {
            consent.write(out);
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            operation: Operation::read(input)?,
            consents: input.list("consents", CONSENTS_MAX, Consent::read)?,
        })
    }
}
