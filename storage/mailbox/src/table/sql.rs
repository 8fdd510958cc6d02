//! Restrictions as SQL over the columns that a table keeps, with the answers that evaluating them in code
//! gives ([`Restriction::matches`]).
//!
//! Every condition becomes an expression that is 0 or 1 and never NULL, so that `NOT` means what it means in
//! code. What the columns can't say stays for code: of a conjunction the parts that can be said narrow the
//! rows, all else is said whole or not at all.

use ringpost_mapi::{
    PropTag, PropValue,
    collation::fold,
    restriction::{FuzzyLevel, Relation, Restriction},
};
use rusqlite::types::Value;

/// The largest condition that is compiled, in parts: SQLite's parser and binder have limits, and past this
/// the database has no advantage.
pub(crate) const MAX_PARTS: usize = 200;

/// The name of the SQL function that folds text as [`fold`] does.
pub(crate) const FOLD: &str = "ringpost_fold";

/// What a column holds. NULL is an absent property in all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ColumnKind {
    /// `PtypInteger32`
    Integer32,
    /// `PtypInteger64`
    Integer64,
    /// `PtypTime`: ticks below 2^63.
    Time,
    /// `PtypBoolean`: 0 or 1
    Boolean,
    /// `PtypString`
    Text,
}

/// A property that a table keeps as a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// The property.
    pub(crate) tag: PropTag,
    /// What it is in SQL: a column or an expression.
    pub(crate) expression: &'static str,
    /// What it holds.
    pub(crate) kind: ColumnKind,
}

/// A condition in SQL.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Condition {
    /// The expression; empty where it says nothing.
    pub(crate) sql: String,
    /// Its parameters, for `?` one after the other.
    pub(crate) parameters: Vec<Value>,
    /// What must be checked in code besides, if anything.
    pub(crate) residual: Option<Restriction>,
}

/// What never holds. A plain `0` would make SQLite drop the conditions beside it, and with them the use of an
/// index that a query insists on.
const NEVER: &str = "(1 = 0)";

/// The SQL for a restriction.
pub(crate) fn compile(restriction: &Restriction, columns: &[Column]) -> Condition {
    let mut residual = Vec::new();
    let mut condition = Condition::default();
    for part in conjuncts(restriction) {
        let mut compiler = Compiler {
            columns,
            parts: 0,
            parameters: Vec::new(),
        };
        match compiler.condition(part) {
            Some(sql) if condition.parameters.len() + compiler.parameters.len() <= MAX_PARTS => {
                if !condition.sql.is_empty() {
                    condition.sql.push_str(" AND ");
                }
                condition.sql.push_str(&sql);
                condition.parameters.append(&mut compiler.parameters);
            }
            _ => residual.push(part.clone()),
        }
    }
    condition.residual = match residual.len() {
        0 => None,
        1 => residual.pop(),
        _ => Some(Restriction::And(residual)),
    };
    condition
}

/// Lets a connection evaluate what [`compile`] yields.
pub(crate) fn register_functions(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    use rusqlite::functions::FunctionFlags;
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function(FOLD, 1, flags, |context| {
        let text = context
            .get_raw(0)
            .as_str_or_null()
            .map_err(|error| rusqlite::Error::UserFunctionError(error.into()))?;
        Ok(text.map(fold))
    })
}

/// The parts of a restriction that must all hold.
fn conjuncts(restriction: &Restriction) -> Vec<&Restriction> {
    match restriction {
        Restriction::And(list) => list.iter().flat_map(conjuncts).collect(),
        Restriction::Comment { restriction, .. } | Restriction::Annotation { restriction, .. } => {
            restriction.as_deref().map(conjuncts).unwrap_or_default()
        }
        Restriction::Count { restriction, .. } => conjuncts(restriction),
        Restriction::Always => Vec::new(),
        other => vec![other],
    }
}

struct Compiler<'a> {
    columns: &'a [Column],
    parts: usize,
    parameters: Vec<Value>,
}

impl Compiler<'_> {
    /// An expression of 0 or 1, or `None` where the columns can't say it.
    fn condition(&mut self, restriction: &Restriction) -> Option<String> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return None;
        }
        Some(match restriction {
            Restriction::And(list) => self.list(list, " AND ", "1")?,
            Restriction::Or(list) => self.list(list, " OR ", NEVER)?,
            Restriction::Not(one) => format!("(NOT {})", self.condition(one)?),
            Restriction::Content { fuzzy, tag, value } => match &value.value {
                PropValue::String(wanted) => self.content(*fuzzy, *tag, wanted)?,
                _ => return None,
            },
            Restriction::Property { relation, tag, value } => self.property(*relation, *tag, &value.value)?,
            Restriction::CompareProperties {
                relation,
                left,
                right,
            } => {
                let (left, right) = (self.column(*left)?, self.column(*right)?);
                if left.kind != right.kind || left.kind == ColumnKind::Text {
                    return None;
                }
                Self::pair(*relation, left.expression, right.expression)
            }
            Restriction::Bitmask { nonzero, tag, mask } => {
                let column = self.column(*tag)?;
                if !matches!(column.kind, ColumnKind::Integer32 | ColumnKind::Integer64) {
                    return None;
                }
                self.parameters.push(Value::Integer(i64::from(*mask)));
                let test = if *nonzero { "<>" } else { "=" };
                format!("coalesce(({} & ?) {test} 0, 0)", column.expression)
            }
            Restriction::Size { relation, tag, size } => {
                let column = self.column(*tag)?;
                let width = match column.kind {
                    ColumnKind::Boolean => 1,
                    ColumnKind::Integer32 => 4,
                    ColumnKind::Integer64 | ColumnKind::Time => 8,
                    ColumnKind::Text => return None,
                };
                let holds = |found: u32| i32::from(relation.holds(found.cmp(size)));
                format!(
                    "iif({} IS NULL, {}, {})",
                    column.expression,
                    holds(0),
                    holds(width)
                )
            }
            Restriction::Exist { tag } => format!("({} IS NOT NULL)", self.column(*tag)?.expression),
            Restriction::SubObject { .. } => return None,
            Restriction::Comment { restriction, .. } | Restriction::Annotation { restriction, .. } => {
                match restriction {
                    Some(one) => self.condition(one)?,
                    None => "1".to_owned(),
                }
            }
            Restriction::Count { restriction, .. } => self.condition(restriction)?,
            Restriction::Always => "1".to_owned(),
        })
    }

    fn list(&mut self, list: &[Restriction], separator: &str, empty: &str) -> Option<String> {
        let parts: Vec<String> = list
            .iter()
            .map(|one| self.condition(one))
            .collect::<Option<_>>()?;
        Some(if parts.is_empty() {
            empty.to_owned()
        } else {
            format!("({})", parts.join(separator))
        })
    }

    fn content(&mut self, fuzzy: FuzzyLevel, tag: PropTag, wanted: &str) -> Option<String> {
        let column = self.column(tag)?;
        let words = FuzzyLevel::PREFIX_ON_ANY_WORD | FuzzyLevel::PHRASE_MATCH;
        let marks = FuzzyLevel::IGNORE_NONSPACE | FuzzyLevel::LOOSE;
        // SQLite's text functions stop at a NUL.
        if column.kind != ColumnKind::Text
            || fuzzy.low & words != 0
            || fuzzy.high & marks != 0
            || wanted.contains('\0')
        {
            return None;
        }
        let (text, wanted) = if fuzzy.high & FuzzyLevel::IGNORE_CASE == 0 {
            (column.expression.to_owned(), wanted.to_owned())
        } else {
            (format!("{FOLD}({})", column.expression), fold(wanted))
        };
        let test = match fuzzy.low & 0x0f {
            FuzzyLevel::FULL_STRING => format!("{text} = ?"),
            FuzzyLevel::PREFIX => format!("instr({text}, ?) = 1"),
            _ => format!("instr({text}, ?) > 0"),
        };
        self.parameters.push(Value::Text(wanted));
        Some(format!("coalesce({test}, 0)"))
    }

    fn property(&mut self, relation: Relation, tag: PropTag, value: &PropValue) -> Option<String> {
        let column = self.column(tag)?;
        let parameter = match (column.kind, value) {
            (ColumnKind::Integer32 | ColumnKind::Integer64, PropValue::Integer16(n)) => i64::from(*n).into(),
            (ColumnKind::Integer32 | ColumnKind::Integer64, PropValue::Integer32(n)) => i64::from(*n).into(),
            (ColumnKind::Integer32 | ColumnKind::Integer64, PropValue::Integer64(n)) => (*n).into(),
            (ColumnKind::Time, PropValue::Time(time)) => i64::try_from(time.0).ok()?.into(),
            (ColumnKind::Boolean, PropValue::Boolean(b)) => i64::from(*b).into(),
            (ColumnKind::Text, PropValue::String(text)) if !text.contains('\0') => Value::Text(fold(text)),
            // Values of types that don't compare, and lists: code knows.
            _ => return None,
        };
        let expression = match column.kind {
            ColumnKind::Text => format!("{FOLD}({})", column.expression),
            _ => column.expression.to_owned(),
        };
        let Some(operator) = operator(relation) else {
            return Some(NEVER.to_owned());
        };
        self.parameters.push(parameter);
        // An absent property is less than every value.
        let absent = i32::from(relation.holds(std::cmp::Ordering::Less));
        Some(format!("coalesce({expression} {operator} ?, {absent})"))
    }

    /// A relation of two columns, absent values first and equal to each other.
    fn pair(relation: Relation, left: &str, right: &str) -> String {
        use std::cmp::Ordering;
        let Some(operator) = operator(relation) else {
            return NEVER.to_owned();
        };
        let holds = |order| i32::from(relation.holds(order));
        format!(
            "CASE WHEN {left} IS NULL AND {right} IS NULL THEN {} WHEN {left} IS NULL THEN {} \
             WHEN {right} IS NULL THEN {} ELSE {left} {operator} {right} END",
            holds(Ordering::Equal),
            holds(Ordering::Less),
            holds(Ordering::Greater)
        )
    }

    /// The column of a property, where the tag asks for it in its own type or any.
    fn column(&self, tag: PropTag) -> Option<Column> {
        self.columns
            .iter()
            .find(|column| column.tag.id() == tag.id())
            .copied()
    }
}

fn operator(relation: Relation) -> Option<&'static str> {
    Some(match relation {
        Relation::Less => "<",
        Relation::LessOrEqual => "<=",
        Relation::Greater => ">",
        Relation::GreaterOrEqual => ">=",
        Relation::Equal => "=",
        Relation::NotEqual => "<>",
        Relation::Matches | Relation::MemberOf => return None,
    })
}

#[cfg(test)]
mod tests;
