//! What the catalog is asked and what it answers.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Something that can be ordered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Product {
    #[schema(example = "teapot")]
    pub(super) sku: String,
    pub(super) name: String,
    pub(super) description: String,
    #[schema(example = 3450)]
    pub(super) price_cents: u32,
    /// The product that it is a size or a colour of.
    pub(super) variant_of: Option<String>,
    /// Its other sizes and colours.
    pub(super) variants: Vec<Variant>,
}

/// A size or a colour of a product; it can be read and ordered by its own sku.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Variant {
    #[schema(example = "teapot-blue")]
    pub(super) sku: String,
    pub(super) name: String,
    pub(super) price_cents: u32,
    pub(super) size: Option<String>,
    pub(super) colour: Option<String>,
}

/// A page of products, by sku.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page {
    pub(super) products: Vec<Product>,
    /// From 1.
    pub(super) page: u32,
    pub(super) limit: u32,
    /// Products on all pages.
    pub(super) total: u32,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// From 1.
    #[serde(default = "first_page")]
    #[param(default = 1, minimum = 1)]
    pub(super) page: u32,
    /// Products on a page.
    #[serde(default = "page_limit")]
    #[param(default = 20, minimum = 1, maximum = 100)]
    pub(super) limit: u32,
}

fn first_page() -> u32 {
    1
}

fn page_limit() -> u32 {
    20
}

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// Words, of which a product has all; each may be the beginning of one.
    #[param(min_length = 1, max_length = 100, example = "tea")]
    pub(super) q: String,
}

/// Products that were found, the best first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Found {
    pub(super) products: Vec<Product>,
}

/// How many of an item a cart is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quantity {
    #[schema(minimum = 1, maximum = 100)]
    pub(super) quantity: u32,
}

/// A user's cart, at the prices of now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cart {
    pub(super) items: Vec<CartItem>,
    pub(super) total_cents: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CartItem {
    pub(super) sku: String,
    pub(super) name: String,
    pub(super) quantity: u32,
    /// Of one.
    pub(super) price_cents: u32,
    /// Of all of them.
    pub(super) amount_cents: u64,
}
