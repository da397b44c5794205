//! Checked values, and typed access to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{ByteSize, Fault, Origin};

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Setting {
    Absent,
    /// Text, address, path and word.
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Duration(Duration),
    ByteSize(ByteSize),
    List(Vec<Setting>),
    Tables(Vec<Values>),
    Map(BTreeMap<String, Setting>),
}

/// The checked values of a table, one for each declared key.
#[derive(Clone, Debug, Default)]
pub struct Values {
    pub(super) settings: BTreeMap<&'static str, Setting>,
    /// Declared keys that were set by someone; all others have their fallback.
    pub(super) set: Vec<&'static str>,
    /// Where they were set.
    pub(super) origins: BTreeMap<&'static str, Origin>,
    /// The table's full path, and where it begins.
    pub(super) path: String,
    pub(super) origin: Option<Origin>,
}

/// By what was set and to what, wherever it stands.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        (&self.settings, &self.set) == (&other.settings, &other.set)
    }
}

impl Values {
    /// The value of a key by its path in the table.
    ///
    /// | kind | type |
    /// |---|---|
    /// | `Address`, `Text`, `Enum` | `String` |
    /// | `Path` | `PathBuf`, `String` |
    /// | `ByteSize` | [`ByteSize`], `usize`, `u64` |
    /// | `Duration` | `Duration` |
    /// | `Integer` | `i64`, and `u64`, `u32`, `u16`, `usize` where the bounds fit |
    /// | `Float` | `f64` |
    /// | `Bool` | `bool` |
    /// | `List` | `Vec` of the above |
    /// | `Map` | `BTreeMap<String, _>` of the above |
    /// | any with [`super::Fallback::Absent`] | `Option` of the above |
    ///
    /// # Panics
    /// If the key is not declared, or declared with a kind that does not give this type: a fault of the
    /// program, found by any test that builds the role's struct once.
    pub fn get<T: FromSetting>(&self, path: &str) -> T {
        let setting = self.setting(path);
        T::from_setting(setting).unwrap_or_else(|| {
            panic!("key `{path}` is {setting:?}, which is no {}", std::any::type_name::<T>())
        })
    }

    /// The tables of a [`super::Kind::Tables`] key; none if it is not set.
    ///
    /// # Panics
    /// As [`Values::get`].
    pub fn tables(&self, path: &str) -> &[Values] {
        match self.setting(path) {
            Setting::Tables(tables) => tables,
            Setting::Absent => &[],
            other => panic!("key `{path}` is {other:?}, which is no list of tables"),
        }
    }

    /// Whether a key was set, in the file or the environment, rather than left to its fallback.
    pub fn is_set(&self, path: &str) -> bool {
        self.set.contains(&path)
    }

    /// A fault of the role's own finding, at the place where the key was set, else where the table begins.
    pub fn fault(&self, key: &str, message: impl Into<String>, help: Option<String>) -> Fault {
        Fault {
            origin: self.origins.get(key).or(self.origin.as_ref()).cloned(),
            key: format!("{}.{key}", self.path),
            message: message.into(),
            help,
        }
    }

    fn setting(&self, path: &str) -> &Setting {
        self.settings.get(path).unwrap_or_else(|| panic!("key `{path}` is not declared"))
    }
}

/// A type that a checked value can be had as.
pub trait FromSetting: Sized {
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn from_setting(setting: &Setting) -> Option<Self>;
}

macro_rules! from_setting {
    ($($type:ty: $($pattern:pat => $value:expr),+;)+) => {$(
        impl FromSetting for $type {
            #[allow(private_interfaces)]
            fn from_setting(setting: &Setting) -> Option<Self> {
                match setting {
                    $($pattern => $value,)+
                    _ => None,
                }
            }
        }
    )+};
}

from_setting! {
    String: Setting::Text(text) => Some(text.clone());
    PathBuf: Setting::Text(text) => Some(PathBuf::from(text));
    ByteSize: Setting::ByteSize(size) => Some(*size);
    Duration: Setting::Duration(duration) => Some(*duration);
    f64: Setting::Float(number) => Some(*number);
    bool: Setting::Bool(flag) => Some(*flag);
    i64: Setting::Integer(number) => Some(*number);
    u32: Setting::Integer(number) => u32::try_from(*number).ok();
    u16: Setting::Integer(number) => u16::try_from(*number).ok();
    u64: Setting::Integer(number) => u64::try_from(*number).ok(),
         Setting::ByteSize(size) => Some(size.0);
    usize: Setting::Integer(number) => usize::try_from(*number).ok(),
           Setting::ByteSize(size) => Some(size.as_usize());
}

impl<T: FromSetting> FromSetting for Option<T> {
    #[allow(private_interfaces)]
    fn from_setting(setting: &Setting) -> Option<Self> {
        match setting {
            Setting::Absent => Some(None),
            other => T::from_setting(other).map(Some),
        }
    }
}

impl<T: FromSetting> FromSetting for Vec<T> {
    #[allow(private_interfaces)]
    fn from_setting(setting: &Setting) -> Option<Self> {
        match setting {
            Setting::Absent => Some(Vec::new()),
            Setting::List(list) => list.iter().map(T::from_setting).collect(),
            _ => None,
        }
    }
}

impl<T: FromSetting> FromSetting for BTreeMap<String, T> {
    #[allow(private_interfaces)]
    fn from_setting(setting: &Setting) -> Option<Self> {
        match setting {
            Setting::Absent => Some(BTreeMap::new()),
            Setting::Map(map) => {
                let pairs = map.iter();
                pairs.map(|(key, value)| Some((key.clone(), T::from_setting(value)?))).collect()
            }
            _ => None,
        }
    }
}
