//! Finds what JSON would lose: numbers that are none, and a `Some` that would read back as `None`.
use std::{any::type_name, fmt::Write};

use serde::{Serialize, ser};

use super::Unwritable;

/// Says which field of `value` JSON cannot hold.
pub(super) fn check<T: Serialize>(value: &T) -> Result<(), Unwritable> {
    let mut path = String::new();
    let found = value.serialize(Check { path: &mut path, in_some: false });
    found.map_err(|Lost(reason)| {
        let at = if path.is_empty() { String::new() } else { format!("field `{path}` ") };
        Unwritable { type_name: type_name::<T>(), at, reason }
    })
}

/// Why; the path says where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Lost(String);

impl ser::Error for Lost {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Lost(message.to_string())
    }
}

type Found = Result<(), Lost>;

/// A serializer that writes nothing. On an error the path stays where it was found.
struct Check<'p> {
    path: &'p mut String,
    /// The value is inside a `Some`: it must not be written as `null`.
    in_some: bool,
}

impl<'p> Check<'p> {
    /// Checks a part; the path is back at the whole unless something was found.
    fn part<T: Serialize + ?Sized>(&mut self, name: impl FnOnce(&mut String), value: &T) -> Found {
        let len = self.path.len();
        name(self.path);
        value.serialize(Check { path: self.path, in_some: false })?;
        self.path.truncate(len);
        Ok(())
    }

    fn null(&self) -> Found {
        if self.in_some { Err(Lost("is a `Some` that would read back as `None`".into())) } else { Ok(()) }
    }

    fn float(number: f64) -> Found {
        if number.is_finite() { Ok(()) } else { Err(Lost(format!("is {number}, which JSON cannot hold"))) }
    }

    fn parts(self, prefix: Option<&str>) -> Parts<'p> {
        if let Some(prefix) = prefix {
            field(prefix)(self.path);
        }
        Parts { check: Check { path: self.path, in_some: false }, index: 0, key: String::new() }
    }
}

fn field(name: &str) -> impl FnOnce(&mut String) {
    move |path| {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    }
}

macro_rules! fine {
    ($($name:ident: $ty:ty),*) => { $(fn $name(self, _: $ty) -> Found { Ok(()) })* };
}

impl<'p> ser::Serializer for Check<'p> {
    type Ok = ();
    type Error = Lost;
    type SerializeSeq = Parts<'p>;
    type SerializeTuple = Parts<'p>;
    type SerializeTupleStruct = Parts<'p>;
    type SerializeTupleVariant = Parts<'p>;
    type SerializeMap = Parts<'p>;
    type SerializeStruct = Parts<'p>;
    type SerializeStructVariant = Parts<'p>;

    fine!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64);
    fine!(serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);
    fine!(serialize_u128: u128, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8]);

    fn serialize_f32(self, number: f32) -> Found {
        Check::float(number.into())
    }
    fn serialize_f64(self, number: f64) -> Found {
        Check::float(number)
    }
    fn serialize_none(self) -> Found {
        self.null()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Found {
        value.serialize(Check { path: self.path, in_some: true })
    }
    fn serialize_unit(self) -> Found {
        self.null()
    }
    fn serialize_unit_struct(self, _: &'static str) -> Found {
        self.null()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Found {
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Found {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Found {
        self.part(field(variant), value)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'p>, Lost> {
        Ok(self.parts(None))
    }
    fn serialize_tuple(self, _: usize) -> Result<Parts<'p>, Lost> {
        Ok(self.parts(None))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'p>, Lost> {
        Ok(self.parts(None))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'p>, Lost> {
        Ok(self.parts(Some(variant)))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'p>, Lost> {
        Ok(self.parts(None))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'p>, Lost> {
        Ok(self.parts(None))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'p>, Lost> {
        Ok(self.parts(Some(variant)))
    }
}

/// The parts of a sequence, a map or a struct.
struct Parts<'p> {
    check: Check<'p>,
    index: usize,
    key: String,
}

impl Parts<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Found {
        let index = self.index;
        self.index += 1;
        self.check.part(|path| write!(path, "[{index}]").expect("a String takes all"), value)
    }
}

macro_rules! elements {
    ($($of:ident $method:ident),*) => { $(
        impl ser::$of for Parts<'_> {
            type Ok = ();
            type Error = Lost;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Found {
                self.element(value)
            }
            fn end(self) -> Found {
                Ok(())
            }
        }
    )* };
}

elements!(SerializeSeq serialize_element, SerializeTuple serialize_element);
elements!(SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field);

macro_rules! fields {
    ($($of:ident),*) => { $(
        impl ser::$of for Parts<'_> {
            type Ok = ();
            type Error = Lost;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Found {
                self.check.part(field(name), value)
            }
            fn end(self) -> Found {
                Ok(())
            }
        }
    )* };
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Lost;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Found {
        let text = serde_json::to_string(key).unwrap_or_default();
        text.trim_matches('"').clone_into(&mut self.key);
        // Refuses what JSON cannot have as a key, as the writer does.
        let mut map = serde_json::Serializer::new(std::io::sink());
        let mut map = ser::Serializer::serialize_map(&mut map, Some(1)).map_err(ser::Error::custom)?;
        ser::SerializeMap::serialize_key(&mut map, key).map_err(ser::Error::custom)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Found {
        let key = std::mem::take(&mut self.key);
        self.check.part(field(&key), value)
    }

    fn end(self) -> Found {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{read, write};
    use super::*;

    #[derive(Serialize, serde::Deserialize, Debug, PartialEq, Default)]
    struct Page {
        title: Option<String>,
        scores: Vec<f64>,
        #[allow(clippy::option_option)] // what is lost
        maybe: Option<Option<u8>>,
        done: Option<()>,
        by_host: BTreeMap<String, f32>,
        kind: Option<Kind>,
    }

    #[derive(Serialize, serde::Deserialize, Debug, PartialEq)]
    enum Kind {
        Plain,
        Of(f64),
        Both(u8, f64),
        Named { size: f64 },
    }

    fn why(page: &Page) -> String {
        let e = write(page).expect_err("lossy");
        e.to_string().split("cannot be saved: ").nth(1).unwrap().to_owned()
    }

    #[test]
    fn the_lost_field_is_named() {
        let page = Page::default;
        let kind = |kind| Page { kind: Some(kind), ..page() };
        for (page, expected) in [
            (
                Page { scores: vec![1.0, f64::NAN], ..page() },
                "field `scores[1]` is NaN, which JSON cannot hold",
            ),
            (
                Page { maybe: Some(None), ..page() },
                "field `maybe` is a `Some` that would read back as `None`",
            ),
            (Page { done: Some(()), ..page() }, "field `done` is a `Some` that would read back as `None`"),
            (
                Page { by_host: [("a.org".into(), f32::INFINITY)].into(), ..page() },
                "field `by_host.a.org` is inf, which JSON cannot hold",
            ),
            (kind(Kind::Of(f64::NAN)), "field `kind.Of` is NaN, which JSON cannot hold"),
            (kind(Kind::Both(1, f64::NAN)), "field `kind.Both[1]` is NaN, which JSON cannot hold"),
            (kind(Kind::Named { size: f64::NAN }), "field `kind.Named.size` is NaN, which JSON cannot hold"),
        ] {
            assert_eq!(why(&page), expected);
        }
        let keyed: BTreeMap<(u8, u8), u8> = [((1, 2), 3)].into();
        assert!(write(&keyed).unwrap_err().to_string().contains("key must be a string"));
    }

    #[test]
    fn what_fits_is_read_back() {
        let page = Page {
            title: Some("null".into()),
            scores: vec![0.1 + 0.2, f64::MIN_POSITIVE, 1e300],
            maybe: None,
            done: None,
            by_host: [("x".into(), 0.1)].into(),
            kind: Some(Kind::Plain),
        };
        assert_eq!(read::<Page>(&write(&page).unwrap()).unwrap(), page);
    }
}
