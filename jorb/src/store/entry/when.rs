//! Times as people read them.
use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Timestamp;

/// A time, in JSON as RFC 3339 with milliseconds; a number of milliseconds is read too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct When(pub(crate) Timestamp);

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = i64::try_from(self.0.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match millis {
            Some(at) => serializer.collect_str(&at),
            // Later than what has a date.
            None => serializer.serialize_u64(self.0.0),
        }
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = When;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"2026-01-01T00:00:00.000Z\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<When, E> {
                let at: jiff::Timestamp =
                    text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
                Ok(When(Timestamp(at.as_millisecond().try_into().unwrap_or(0))))
            }

            fn visit_u64<E: de::Error>(self, millis: u64) -> Result<When, E> {
                Ok(When(Timestamp(millis)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A duration, in JSON as milliseconds; with a fraction, if it has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Millis(pub(crate) Duration);

impl Millis {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) const fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match u64::try_from(self.0.as_millis()) {
            Ok(millis) if self.0.subsec_nanos().is_multiple_of(1_000_000) => serializer.serialize_u64(millis),
            _ => serializer.serialize_f64(self.0.as_secs_f64() * 1e3),
        }
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("milliseconds")
            }

            fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Millis, E> {
                Ok(Millis(Duration::from_millis(millis)))
            }

            fn visit_f64<E: de::Error>(self, millis: f64) -> Result<Millis, E> {
                if millis < 0.0 {
                    return Err(E::invalid_value(de::Unexpected::Float(millis), &self));
                }
                Ok(Millis(Duration::try_from_secs_f64(millis / 1e3).unwrap_or(Duration::MAX)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways<T: Serialize + for<'a> Deserialize<'a> + PartialEq + fmt::Debug>(value: &T, text: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), text);
        assert_eq!(serde_json::from_str::<T>(text).unwrap(), *value);
    }

    #[test]
    fn times_are_exact_to_the_millisecond() {
        both_ways(&When(Timestamp(1_767_225_600_000)), "\"2026-01-01T00:00:00Z\"");
        both_ways(&When(Timestamp(1_767_225_600_001)), "\"2026-01-01T00:00:00.001Z\"");
        both_ways(&When(Timestamp(u64::MAX)), "18446744073709551615");
        both_ways(&Millis(Duration::from_millis(1500)), "1500");
        both_ways(&Millis(Duration::from_micros(1500)), "1.5");
        let forever = serde_json::to_string(&Millis(Duration::MAX)).unwrap();
        assert_eq!(serde_json::from_str::<Millis>(&forever).unwrap().0, Duration::MAX);
    }
}
