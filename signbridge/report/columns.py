"""The columns that pages are made from: a table that lacks one was written by another version of the project."""

PROBED = ["site", "depth", "accuracy", "low", "high"]  # columns of the study's accuracy that the page on causes draws

# The columns that pages are made from, by the name that a page has for the table. Other tables are read whole.
_COLUMNS = {
    "accuracy": "protocol site depth position accuracy low high images_tested leaking folds_at_edge",
    "controls": "control site depth position accuracy low high over_control over_control_low over_control_high p_value",
    "selectivity": "site position accuracy control_task selectivity selectivity_low selectivity_high",
    "layer_comparison": "position site_a site_b difference low high p_value p_holm",
    "peak_probability": "position site depth accuracy peak_probability share_chosen tied_with_best",
    "description_length": "site depth position bits low high uniform_bits compression orders at_edge",
    "letter_accuracy": "letter images accuracy low high",
    "confused_pairs": "letter_a letter_b count share",
    "confusion": "actual predicted",
    "within_word": "word letters images photos chance site depth position accuracy low high",
    "published": (
        "site published_accuracy published_low published_high reproduced_accuracy reproduced_low reproduced_high "
        "leaking comparable"
    ),
    "signers": (
        "site position depth seen seen_low seen_high unseen unseen_low unseen_high difference low high p_value"
    ),
    "learning_curve": (
        "site position of trained_on groups images repeats accuracy low high difference difference_low difference_high"
    ),
    "patching": "site depth position effect effect_low effect_high says_donor noise",
    "parts": "position part site depth effect effect_low effect_high",
    "knockout": "edges keys span first stop tokens lost lost_low lost_high changed",
    "minimal_read": "site position fitted_on accuracy accuracy_low accuracy_high",
    "minimal_patched": "site depth position effect effect_low effect_high says_donor noise",
    "steering": (
        "site depth at during direction strength probability probability_low probability_high says damage "
        "damage_low damage_high"
    ),
    "steering_area": (
        "site at during direction area area_low area_high damage_area damage_area_low damage_area_high "
        "breakdown_strength"
    ),
    "erasure": "at site eraser read_site read_position accuracy accuracy_low accuracy_high",
    "erasure_answers": "at site eraser changed changed_low changed_high damage damage_low damage_high",
    "shares": (
        "lens guesses site harder_null share share_low share_high other_image shuffled_words over_null over_null_low "
        "over_null_high"
    ),
    "leads": "guesses site difference difference_low difference_high",
    "on_hand": (
        "lens site hand hand_low hand_high background background_low background_high hand_over_other_image "
        "hand_over_other_image_low hand_over_other_image_high background_over_other_image "
        "background_over_other_image_low background_over_other_image_high difference difference_low "
        "difference_high"
    ),
    "planted_accuracy": "reader site position depth value low high last_over last_over_low last_over_high",
    "planted_curves": "method site value low high",
    "planted_verdicts": "method verdict located step marked false_marks",
    "alignment": "measure site value low high null beaten",
    "measures": "site modality measure value low high",
    "probes": "protocol site position reads accuracy low high untrained_twin no_image other_letter",
    "one_letter": (
        "site position reads k auc low high over_stream over_stream_low over_stream_high over_pca over_pca_low "
        "over_pca_high over_untrained_twin over_untrained_twin_low over_untrained_twin_high"
    ),
    "concept": "reads site position feature auc_fitted auc low high",
    "fingers": "reads site feature position finger joint r p within_r within_p",
    "told_fingers": "reads site position letters fitted_on auc auc_low auc_high index middle ring pinky",
    "classes": "class rank feature description published",
    "leap": "site text_site share",
    "model_accuracy": "model site position relative_depth accuracy low high peak_probability",
    "models": (
        "model quantization dtype prompt blocks parameters weights image_tokens flop best_site null p_value peak_depth "
        "peak_depth_low peak_depth_high decoder decoder_low decoder_high pixels pixels_low pixels_high over_pixels "
        "over_pixels_low over_pixels_high vision vision_low vision_high over_vision over_vision_low over_vision_high "
        "named named_low named_high over_named over_named_low over_named_high likeliest likeliest_low likeliest_high "
        "over_likeliest over_likeliest_low over_likeliest_high read_answer read_answer_low "
        "read_answer_high over_read_answer over_read_answer_low over_read_answer_high"
    ),
    "model_controls": "model what control accuracy low high over_control over_control_low over_control_high",
    "model_differences": "what model_a model_b difference low high p_value p_holm",
    "model_peaks": "model_a model_b difference low high same",
    "rung_accuracy": "rung site accuracy low high decoder_over decoder_over_low decoder_over_high",
    "rung_differences": "what rung against difference low high p_value p_holm",
    "drift": "reference model site position relative_error cosine cka same_answer",
    "patching_drift": "reference model site position effect_reference effect difference low high pairs",
    "tuned_accuracy": "run site position accuracy low high",
    "tuned_changes": "run what against difference low high p_value p_holm",
    "tuned_layers": "run site before after difference low high p_holm",
    "tuned_gaps": (
        "run site how answer_before before before_low before_high after after_low after_high difference low high p_holm"
    ),
    "tuned_transfer": "run fitted_on how site accuracy low high own difference lost_low lost_high p_holm",
    "tuned_drift": "run site position relative_error cosine cosine_low cosine_high cka cka_low cka_high",
    "tuned_taken_over": "run pairs site site_low site_high shift shift_low shift_high",
    "tuned_damage": "run damage low high over_shuffled over_shuffled_low over_shuffled_high",
    "clip_accuracy": "series target kind site position accuracy low high clips",
    "clip_order": "of target kind site position difference low high p_value p_max",
    "clip_controls": "control target site accuracy low high over over_low over_high p_value p_max",
    "other_clip": "site position accuracy low high p_value",
    "backwards": "kind site backwards low high in_order difference difference_low difference_high p_value",
    "patched_frames": "site frame moved low high says_donor noise pairs",
    "clip_answers": "reading named low high names_any over over_low over_high p_value",
    "named_answers": "image_id label answer named",
    "answers_by_letter": "letter rank answer count share",
}
COLUMNS = {table: names.split() for table, names in _COLUMNS.items()}
