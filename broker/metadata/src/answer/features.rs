//! The features part of ApiVersions (KIP-584).

use barnabas_wire::message::api_versions::{FinalizedFeatureKey, SupportedFeatureKey};

use crate::controller;
use crate::image::ClusterImage;

/// First version of ApiVersions whose readers accept features that may be switched off (KAFKA-17011).
const LEVEL_ZERO_SINCE: i16 = 4;

/// Features to list in an answer of `version`. `group.version` and `transaction.version` are not among them: the
/// protocols they switch on do not exist here.
#[must_use]
pub fn supported_features(version: i16) -> Vec<SupportedFeatureKey> {
    let features = controller::supported_features().into_iter();
    let listed = features.filter(|feature| feature.min_level > 0 || version >= LEVEL_ZERO_SINCE);
    listed
        .map(|feature| SupportedFeatureKey {
            name: feature.name,
            min_version: feature.min_level,
            max_version: feature.max_level,
        })
        .collect()
}

/// Features that are switched on and supported. A log that Apache Kafka began may have others switched on; a client
/// that read of them would use protocols that do not exist here.
#[must_use]
pub fn finalized_features(image: &ClusterImage) -> Vec<FinalizedFeatureKey> {
    let supported = controller::supported_features();
    let is_served = |name: &str, level: i16| {
        supported.iter().any(|feature| feature.name == name && (feature.min_level..=feature.max_level).contains(&level))
    };
    let levels = image.features().iter().filter(|(name, level)| is_served(name, **level));
    levels
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.clone(),
            max_version_level: *level,
            min_version_level: *level,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::METADATA_VERSION_FEATURE;

    #[test]
    fn pitfall_3_features_from_level_zero_wait_for_version_4() {
        let names = |version| supported_features(version).into_iter().map(|feature| feature.name).collect::<Vec<_>>();
        assert_eq!(names(3), [METADATA_VERSION_FEATURE]);
        assert_eq!(names(4), ["kraft.version", METADATA_VERSION_FEATURE]);
    }
}
