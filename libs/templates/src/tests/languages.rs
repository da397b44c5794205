//! Messages that are not in English.

use super::{NAMES, check};

#[test]
fn german() {
    let cities = [
        "Köln",
        "Düsseldorf",
        "Münster",
        "Bremen",
        "Jena",
        "Ulm",
        "Mainz",
        "Trier",
        "Essen",
        "Kiel",
    ];
    let messages = NAMES.iter().enumerate().flat_map(|(index, name)| {
        [
            format!("Benutzer {name} hat sich aus {} angemeldet", cities[index * 7 % 10]),
            format!("Bestellung {index} für „{name} Müller“ storniert"),
            format!("Temperatur in Halle {index}: {index},5 °C zu hoch"),
        ]
    });
    check(
        messages,
        &[
            "Benutzer <*> hat sich aus <*> angemeldet",
            "Bestellung <*> für „<*> Müller“ storniert",
            "Temperatur in Halle <*>: <*> °C zu hoch",
        ],
    );
}

#[test]
fn japanese() {
    let names = ["田中", "佐藤", "鈴木", "高橋", "伊藤", "渡辺", "山本", "中村", "小林", "加藤"];
    let messages = names.iter().enumerate().flat_map(|(index, name)| {
        [
            format!("ユーザー{name}がログインしました"),
            format!("注文{index}1234を処理しました（{index}ミリ秒）"),
            format!("202{index}年5月3{index}日のバックアップが完了しました"),
        ]
    });
    check(
        messages,
        &[
            "ユーザー<*>がログインしました",
            "注文<*>を処理しました（<*>ミリ秒）",
            "<*>年<*>月<*>日のバックアップが完了しました",
        ],
    );
}

#[test]
fn chinese() {
    let names =
        ["张三", "李四", "王五", "赵六", "孙七", "周八", "吴九", "郑十", "陈一明", "刘大伟"];
    let messages = names
        .iter()
        .flat_map(|name| [format!("用户{name}登录系统成功"), "数据库连接失败".to_owned()]);
    check(messages, &["用户<*>登录系统成功", "数据库连接失败"]);
}
