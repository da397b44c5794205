//! What the shop sells. It is filled in anew at each start, so that a database of before has today's prices.

use rusqlite::{Transaction, params};

/// Sku, name, size, colour, price in cents.
type Variant = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, u32);

/// A product with its sizes and colours.
struct Seed {
    sku: &'static str,
    name: &'static str,
    description: &'static str,
    price_cents: u32,
    variants: &'static [Variant],
}

const PRODUCTS: [Seed; 6] = [
    Seed {
        sku: "teapot",
        name: "Teapot",
        description: "A teapot of white porcelain for four cups.",
        price_cents: 3_450,
        variants: &[
            ("teapot-blue", "Teapot, blue", None, Some("blue"), 3_650),
            ("teapot-green", "Teapot, green", None, Some("green"), 3_650),
            ("teapot-large", "Teapot, large", Some("1.2 l"), None, 4_250),
        ],
    },
    Seed {
        sku: "cup",
        name: "Cup",
        description: "A cup of white porcelain, without a handle.",
        price_cents: 890,
        variants: &[
            ("cup-blue", "Cup, blue", None, Some("blue"), 950),
            ("cup-large", "Cup, large", Some("0.3 l"), None, 1_090),
        ],
    },
    Seed {
        sku: "saucer",
        name: "Saucer",
        description: "The saucer for the cup.",
        price_cents: 540,
        variants: &[("saucer-blue", "Saucer, blue", None, Some("blue"), 590)],
    },
    Seed {
        sku: "oolong-100g",
        name: "Oolong",
        description: "Half-fermented tea from Anxi, 100 g.",
        price_cents: 1_290,
        variants: &[("oolong-250g", "Oolong, 250 g", Some("250 g"), None, 2_990)],
    },
    Seed {
        sku: "sencha-100g",
        name: "Sencha",
        description: "Green tea from Shizuoka, steamed, 100 g.",
        price_cents: 1_150,
        variants: &[("sencha-250g", "Sencha, 250 g", Some("250 g"), None, 2_690)],
    },
    Seed {
        sku: "kettle",
        name: "Kettle",
        description: "A kettle of cast iron for the stove.",
        price_cents: 7_900,
        variants: &[
            ("kettle-copper", "Kettle, copper", None, Some("copper"), 11_900),
            // Sold out for good, as inventory knows.
            ("kettle-silver", "Kettle, silver", None, Some("silver"), 89_000),
        ],
    },
];

/// Products that are sold no more stay, for the carts that have them.
pub(super) fn fill(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut upsert = tx.prepare(
        "INSERT INTO products (sku, name, description, price_cents, variant_of, size, colour)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (sku) DO UPDATE SET name = excluded.name, description = excluded.description,
            price_cents = excluded.price_cents, variant_of = excluded.variant_of,
            size = excluded.size, colour = excluded.colour",
    )?;
    tx.execute("DELETE FROM words", [])?;
    for Seed { sku, name, description, price_cents, variants } in PRODUCTS {
        let none = None::<&str>;
        upsert.execute(params![sku, name, description, price_cents, none, none, none])?;
        for (variant, name, size, colour, price_cents) in variants {
            let values = params![variant, name, description, price_cents, sku, size, colour];
            upsert.execute(values)?;
        }
        let names: Vec<_> = variants.iter().map(|(_, name, ..)| *name).collect();
        let words = params![sku, name, description, names.join(" ")];
        tx.execute("INSERT INTO words VALUES (?1, ?2, ?3, ?4)", words)?;
    }
    Ok(())
}
