"""The benchmark saga: research, content, assets, three channels in parallel, joined, analytics; steps do nothing."""
