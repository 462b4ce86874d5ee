//! The structures and functions of the header, for languages that lay them out themselves.

use crate::header::Header;

/// A structure, laid out for pointers of four and of eight bytes.
pub struct Struct {
    /// Without `tokenpin_`.
    pub name: String,
    pub fields: Vec<Field>,
    pub size: Both,
}

pub struct Field {
    pub name: String,
    pub offset: Both,
}

/// A number of bytes for pointers of four bytes, and for pointers of eight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Both {
    pub narrow: usize,
    pub wide: usize,
}

pub struct Function {
    /// Without `tokenpin_`.
    pub name: String,
    pub gives_status: bool,
    pub parameters: Vec<Parameter>,
}

pub struct Parameter {
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Pointer,
    Size,
    Number(usize),
}

pub fn structs(header: &Header) -> Vec<Struct> {
    let text = crate::ffi::header(header);
    let mut made: Vec<Struct> = Vec::new();
    // Size and alignment of a structure so far: the alignment is the greatest of its fields'.
    let mut sizes: Vec<(Both, Both)> = Vec::new();
    for declaration in text.split("typedef struct ").skip(1) {
        let Some((name, rest)) = declaration.split_once(" {\n") else { continue };
        let body = rest.split_once('}').expect("the end of a structure").0;
        let (mut size, mut align) = (Both { narrow: 0, wide: 0 }, Both { narrow: 1, wide: 1 });
        let mut fields = Vec::new();
        for line in body.lines().map(|line| line.trim().trim_end_matches(';')) {
            let (kind, field) = line.rsplit_once([' ', '*']).expect("a type and a name");
            let (field, count) = counted(header, field);
            let (each, aligned) = if line.contains('*') || kind == "size_t" {
                let word = Both { narrow: 4, wide: 8 };
                (word, word)
            } else if let Some(inner) = kind.strip_prefix("struct tokenpin_") {
                let at = made.iter().position(|each| each.name == inner).expect("declared before");
                sizes[at]
            } else {
                let each = Both { narrow: bytes(kind), wide: bytes(kind) };
                (each, each)
            };
            size = size.up(aligned);
            fields.push(Field { name: field, offset: size });
            size = Both {
                narrow: size.narrow + each.narrow * count,
                wide: size.wide + each.wide * count,
            };
            align = Both {
                narrow: align.narrow.max(aligned.narrow),
                wide: align.wide.max(aligned.wide),
            };
        }
        size = size.up(align);
        sizes.push((size, align));
        let name = name.trim_start_matches("tokenpin_").into();
        made.push(Struct { name, fields, size });
    }
    made
}

impl Both {
    /// Returns the next multiple.
    fn up(self, align: Self) -> Self {
        Self {
            narrow: self.narrow.next_multiple_of(align.narrow),
            wide: self.wide.next_multiple_of(align.wide),
        }
    }
}

/// Returns a field's name, and its number of elements.
fn counted(header: &Header, field: &str) -> (String, usize) {
    let Some((name, count)) = field.split_once('[') else { return (field.into(), 1) };
    let count = count.trim_end_matches(']');
    let constant = count.strip_prefix("TOKENPIN_").map_or(count, |name| {
        let found = header.constants.iter().find(|constant| constant.name == name);
        &found.expect("a constant").value
    });
    (name.into(), constant.parse().expect("a number of elements"))
}

fn bytes(kind: &str) -> usize {
    let bits = kind.trim_start_matches(['u', 'i', 'n', 't']).trim_end_matches("_t");
    bits.parse::<usize>().unwrap_or_else(|_| panic!("an integer: {kind}")) / 8
}

pub fn functions(header: &Header) -> Vec<Function> {
    let text = crate::ffi::header(header).replace(['\n', ' '], " ");
    let declarations = text.split(';').map(str::trim).filter(|text| text.ends_with(')'));
    let made = declarations.map(|declaration| {
        let (head, list) = declaration.trim_end_matches(')').split_once('(').unwrap();
        let (gives, name) = head.rsplit_once([' ', '*']).unwrap();
        let list = list.split(',').map(str::trim).filter(|&each| each != "void");
        let parameters = list.map(|parameter| {
            let (kind, name) = parameter.rsplit_once([' ', '*']).expect("a type and a name");
            let kind = match kind {
                _ if parameter.contains('*') => Kind::Pointer,
                "size_t" => Kind::Size,
                _ => Kind::Number(bytes(kind)),
            };
            Parameter { name: name.into(), kind }
        });
        Function {
            name: name.trim_start_matches("tokenpin_").into(),
            gives_status: gives.trim() == "int32_t",
            parameters: parameters.collect(),
        }
    });
    made.collect()
}
