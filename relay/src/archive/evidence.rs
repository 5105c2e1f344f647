//! The evidence of a submission with what its stamp's authority says today: what was asked at intake runs out.

use super::making::{NotMade, gather, read};
use crate::context::Context;
use crate::intake::kept;
use crate::store::SubmissionRow;

/// What the verdict was made from, and what who judges it now lacks. Only what is missing is asked for.
///
/// # Errors
/// What the disk says.
pub(super) async fn current(context: &Context, row: &SubmissionRow) -> Result<String, NotMade> {
    let container = read(context, row).await?;
    let kept = kept::evidence(&context.containers, &row.submission).await?;
    Ok(gather(context, container, kept).await.to_json())
}
