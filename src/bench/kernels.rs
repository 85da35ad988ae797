use super::Bench;
use crate::error::Result;
pub(super) fn rows(_bench: &Bench<'_>) -> Result<usize> {
    Ok(0)
}
pub(super) async fn run(_bench: &mut Bench<'_>) -> Result<()> {
    Ok(())
}
