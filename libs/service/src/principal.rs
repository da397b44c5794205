//! Whose data a request is about. Without tokens every caller has all rights and names its tenant itself.

use std::sync::Arc;

use axum::http::HeaderMap;

/// The header that names the tenant.
pub const TENANT_HEADER: &str = "X-Scope-OrgID";
/// The tenant where none is named.
pub const TENANT_DEFAULT: &str = "default";
/// Longest name in bytes.
pub const TENANT_BYTES_MAX: usize = 150;

/// The tenant of a request.
///
/// # Errors
/// What is wrong with the header.
pub fn tenant(headers: &HeaderMap) -> Result<Arc<str>, &'static str> {
    let Some(value) = headers.get(TENANT_HEADER) else { return Ok(TENANT_DEFAULT.into()) };
    let name =
        value.to_str().map_err(|_| "has other characters than letters, digits and !-_.*'()")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
    if name.is_empty() || name.len() > TENANT_BYTES_MAX {
        return Err("is empty or longer than 150 bytes");
    }
    if !name.bytes().all(allowed) {
        return Err("has other characters than letters, digits and !-_.*'()");
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_the_headers_or_the_default() {
        let mut headers = HeaderMap::new();
        assert_eq!(tenant(&headers).as_deref(), Ok("default"));
        headers.insert(TENANT_HEADER, "team-a".parse().unwrap());
        assert_eq!(tenant(&headers).as_deref(), Ok("team-a"));
        for wrong in ["", "a|b", "a/b"] {
            headers.insert(TENANT_HEADER, wrong.parse().unwrap());
            assert!(tenant(&headers).is_err(), "{wrong}");
        }
    }
}
