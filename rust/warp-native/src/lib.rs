//! `warp_portal._native`: converts arguments, detaches from the interpreter, calls `warp-core`, `warp-net` and CPace.

use pyo3::prelude::*;

mod buffer;
mod chunk_index;
mod cpace;
mod descriptor;
mod endpoint;
mod error;
mod index;
mod link;
mod pack;
mod primitives;
mod survey;
mod table;
mod transfer;
mod unpack;
mod walk;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    primitives::register(module)?;
    module.add_class::<index::FragmentIndex>()?;
    module.add_class::<table::EntryTable>()?;
    module.add_class::<table::Matcher>()?;
    module.add_class::<walk::Walker>()?;
    module.add_class::<walk::WalkBatch>()?;
    module.add_class::<walk::Baseline>()?;
    module.add_class::<pack::PackPipeline>()?;
    module.add_class::<pack::PackEvents>()?;
    module.add_class::<chunk_index::ChunkIndex>()?;
    module.add_class::<chunk_index::ChunkVerifier>()?;
    module.add_class::<transfer::TreeSource>()?;
    module.add_class::<transfer::TreeSink>()?;
    module.add_class::<transfer::ArchiveSource>()?;
    module.add_class::<transfer::ArchiveSink>()?;
    module.add_class::<survey::Census>()?;
    module.add_class::<survey::Survey>()?;
    module.add_class::<unpack::UnpackPipeline>()?;
    module.add_class::<endpoint::Endpoint>()?;
    module.add_class::<link::Link>()?;
    module.add_function(wrap_pyfunction!(link::pipe, module)?)?;
    module.add_class::<cpace::Cpace>()?;
    module.add_function(wrap_pyfunction!(cpace::cpace_respond, module)?)
}
