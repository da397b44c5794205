# Completion of logq in bash: source <(logq completions bash)
_logq() {
    local line=${COMP_LINE:0:COMP_POINT} candidates
    mapfile -t candidates < <(command "${COMP_WORDS[0]}" complete bash "$line" "$2" 2>/dev/null </dev/null)
    if [[ ${candidates[0]} == ":paths:" ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$2")
        return
    fi
    COMPREPLY=("${candidates[@]}")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:=] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _logq logq
