from small_trials import one_thread  # noqa: F401
