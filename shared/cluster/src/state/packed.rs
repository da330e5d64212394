//! Packs states and inventories for ConfigMaps, and reads what anybody may have put there.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway_gitops::status::{Initiator, RecordedSources};
use slipway_manifest::names::Form;
use slipway_manifest::{Object, ObjectId};

use super::State;

/// Size of the packed state: etcd refuses 1.5 MiB, and base64 adds a third.
const MAX_STATE_BYTES: usize = 800 << 10;
/// Size of the unpacked state: a forged ConfigMap must not exhaust the memory.
const MAX_UNPACKED: u64 = 64 << 20;

/// Packs the state; where it is too large, drops the details of the history first, then the objects' messages.
pub(super) fn shrink_to_limit(state: &mut State) -> String {
    let mut packed = pack(state);
    if packed.len() > MAX_STATE_BYTES {
        for deployment in &mut state.status.history {
            deployment.sources = RecordedSources::default();
            deployment.initiated_by = Initiator::default();
        }
        packed = pack(state);
    }
    if packed.len() > MAX_STATE_BYTES {
        let results = state.status.operation_state.iter_mut().filter_map(|operation| operation.sync_result.as_mut());
        results.flat_map(|result| &mut result.resources).for_each(|result| result.message.clear());
        state
            .status
            .resources
            .iter_mut()
            .filter_map(|resource| resource.health.as_mut())
            .for_each(|health| health.message.clear());
        packed = pack(state);
    }
    packed
}

/// Packs the inventory into as many pieces as needed: one for up to some ten thousand objects.
pub(super) fn chunks(inventory: &BTreeSet<ObjectId>) -> Vec<String> {
    let lines: Vec<String> =
        inventory.iter().map(|id| format!("{}/{}/{}/{}", id.group, id.kind, id.namespace, id.name)).collect();
    let mut size = lines.len().max(1);
    loop {
        let packed: Vec<String> = lines.chunks(size).map(|chunk| pack(&chunk)).collect();
        // Half of a ConfigMap is reserved for the state.
        if size == 1 || packed.iter().all(|chunk| chunk.len() <= MAX_STATE_BYTES / 2) {
            return packed;
        }
        size = size.div_ceil(2);
    }
}

pub(super) fn inventory(object: &Object) -> Result<BTreeSet<ObjectId>, String> {
    if object.pointer("/binaryData/inventory").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Ok(BTreeSet::new());
    }
    let lines: Vec<String> = unpack(object, "inventory")?;
    lines
        .iter()
        .map(|line| match line.splitn(4, '/').collect::<Vec<_>>().as_slice() {
            [group, kind, namespace, name] if is_place(group, kind, namespace, name) => {
                Ok(ObjectId::new(*group, *kind, *namespace, *name))
            }
            _ => Err(format!("{line:?} is no entry of an inventory")),
        })
        .collect()
}

/// Whether these can be an object's. The inventory leads to reads and deletions, and any writer of the ConfigMap can
/// forge it.
fn is_place(group: &str, kind: &str, namespace: &str, name: &str) -> bool {
    let or_none = |form: Form, text: &str| text.is_empty() || form.fits(text);
    Form::Kind.fits(kind)
        && or_none(Form::Subdomain, group)
        && or_none(Form::Label, namespace)
        && or_none(Form::Segment, name)
}

fn pack(value: &impl Serialize) -> String {
    // Writing JSON to memory can't fail: keys are strings.
    STANDARD.encode(gzip(&serde_json::to_vec(value).unwrap_or_default()))
}

thread_local! {
    /// A compressor holds 300 kB, which to clear takes longer than to compress a state.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), false));
}

/// As `flate2::write::GzEncoder` writes it, with a compressor that is kept.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    // RFC 1952: deflate, no name, no time, no operating system.
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        loop {
            packed.reserve(bytes.len() / 4 + 64);
            let read = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
            let rest = bytes.get(read..).unwrap_or_default();
            let end = compress.compress_vec(rest, &mut packed, FlushCompress::Finish);
            if !matches!(end, Ok(Status::Ok | Status::BufError)) {
                break;
            }
        }
    });
    let mut crc = Crc::new();
    crc.update(bytes);
    packed.extend([crc.sum(), crc.amount()].iter().flat_map(|number| number.to_le_bytes()));
    packed
}

pub(super) fn unpack<T: for<'a> Deserialize<'a>>(object: &Object, key: &str) -> Result<T, String> {
    let packed = object.pointer(&format!("/binaryData/{key}")).and_then(Value::as_str).unwrap_or_default();
    let packed = STANDARD.decode(packed).map_err(|_| format!("binaryData.{key} is not base64"))?;
    let mut json = Vec::new();
    GzDecoder::new(packed.as_slice())
        .take(MAX_UNPACKED)
        .read_to_end(&mut json)
        .map_err(|_| format!("binaryData.{key} is not gzip"))?;
    serde_json::from_slice(&json).map_err(|error| format!("binaryData.{key}: {error}"))
}

pub(super) fn digest_of(text: impl AsRef<str>) -> String {
    STANDARD.encode(Sha256::digest(text.as_ref()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_packed_is_what_gzip_packs() {
        for length in [0, 1, 100, 100_000, 300] {
            // Letters that repeat, and some that do not.
            let bytes: Vec<u8> = (0..length).map(|n: u32| n.wrapping_mul(n).to_le_bytes()[1] % 64).collect();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&bytes).unwrap();
            assert_eq!(gzip(&bytes), encoder.finish().unwrap(), "{length} bytes");
        }
    }

    #[test]
    fn an_inventory_survives_packing_in_pieces() {
        // Incompressible names, so that one piece is not enough.
        let inventory: BTreeSet<ObjectId> = (0..12_000_u32)
            .map(|n| {
                ObjectId::new(
                    "",
                    "ConfigMap",
                    "shop",
                    STANDARD.encode(Sha256::digest(n.to_be_bytes())).replace('/', "-"),
                )
            })
            .collect();
        let chunks = chunks(&inventory);
        assert!(chunks.len() > 1);
        let mut read = BTreeSet::new();
        for chunk in chunks {
            let object = Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "x"}, "binaryData": {"inventory": chunk}}))
            .unwrap();
            read.extend(super::inventory(&object).unwrap());
        }
        assert_eq!(read, inventory);
    }

    #[test]
    fn an_inventory_that_names_no_object_is_refused() {
        let read = |line: &str| {
            let packed = pack(&[line]);
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"},
                "binaryData": {"inventory": packed}});
            inventory(&Object::from_value(object).unwrap())
        };
        assert_eq!(read("rbac.authorization.k8s.io/ClusterRole//system:x").unwrap().len(), 1);
        for line in
            ["/Secret/x?y=-dev/z", "/Secret/shop/../../z", "/Secret/shop/..", "../Secret/shop/z", "/Se cret/shop/z"]
        {
            assert_eq!(read(line).unwrap_err(), format!("{line:?} is no entry of an inventory"));
        }
    }

    #[test]
    fn a_state_reads_back_as_written() {
        let mut state = State { lease_transitions: 3, ..State::default() };
        state.status.sync.revisions = "abc".into();
        state.drift.insert("Deployment/shop/web".to_owned(), "hmac".to_owned());
        let packed = shrink_to_limit(&mut state);
        let object = Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"},
            "binaryData": {"state": packed}}))
        .unwrap();
        assert_eq!(unpack::<State>(&object, "state").unwrap(), state);
        let broken = Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"},
            "binaryData": {"state": "aGFsbG8="}}))
        .unwrap();
        assert_eq!(unpack::<State>(&broken, "state").unwrap_err(), "binaryData.state is not gzip");
    }
}
