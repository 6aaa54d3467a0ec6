"""Running edits: the recipe, the plan of jobs, the store on disk and the engines that do the work."""
